//! A configuration that is a text, where a mapping belongs.

odd::well!(WellProbe, "text", String);
vitald_sdk::export_probe!(WellProbe);
