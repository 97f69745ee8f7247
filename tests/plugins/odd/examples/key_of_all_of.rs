//! The key of a combination.

odd::well!(WellProbe, "allOf");
vitald_sdk::export_probe!(WellProbe);
