//! A key that no manifest could name.

odd::well!(WellProbe, "Bad-Key");
vitald_sdk::export_probe!(WellProbe);
