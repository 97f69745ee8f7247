//! Has a symbol of the right name that is something else.

/// Not what it should be; as long as that.
#[repr(C)]
pub struct Export {
    magic: [u8; 8],
    rest: [usize; 2],
}

#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static vitald_plugin: Export = Export { magic: *b"somebody", rest: [0; 2] };
