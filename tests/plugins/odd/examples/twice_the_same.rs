//! Two probes of one key.

mod first {
    odd::well!(WellProbe, "twice");
}

mod second {
    odd::well!(WellProbe, "twice");
}

vitald_sdk::export_probe!(first::WellProbe, second::WellProbe);
