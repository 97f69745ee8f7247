//! The key of a field beside the handlers.

odd::well!(WellProbe, "periodSeconds");
vitald_sdk::export_probe!(WellProbe);
