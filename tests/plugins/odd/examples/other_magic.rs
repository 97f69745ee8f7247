//! Has a symbol of the right name that is something else.

#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static vitald_plugin: odd::Exported = odd::Exported({
    let mut info = odd::info("other_magic", std::ptr::dangling());
    info.magic = *b"somebody";
    info
});
