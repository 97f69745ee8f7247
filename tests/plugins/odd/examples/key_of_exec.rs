//! The key of a built-in.

odd::well!(WellProbe, "exec");
vitald_sdk::export_probe!(WellProbe);
