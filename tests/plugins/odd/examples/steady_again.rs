//! A later `steady`, which says more.

use vitald_sdk::probe::ProbeResult;

odd::another_steady!(|_| std::future::ready(ProbeResult::Warning("steady again".into())));
vitald_sdk::export_probe!(SteadyProbe);
