//! Speaks version 7 of the border.

#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static vitald_plugin: odd::Exported = odd::Exported({
    let mut info = odd::info("other_version", std::ptr::dangling());
    info.major = 7;
    info.minor = 3;
    info
});
