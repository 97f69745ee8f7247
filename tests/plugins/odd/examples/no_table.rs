//! Has nothing to call.

#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static vitald_plugin: odd::Exported = odd::Exported(odd::info("no_table", std::ptr::null()));
