//! A later `steady`, with another probe beside it.

use vitald_sdk::probe::ProbeResult;

odd::another_steady!(|_| std::future::ready(ProbeResult::Warning("not alone".into())));

mod more {
    odd::well!(MoreProbe, "more");
}

vitald_sdk::export_probe!(SteadyProbe, more::MoreProbe);
