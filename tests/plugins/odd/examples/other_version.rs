//! Speaks version 7 of the border.

use vitald_sdk::abi::Info;

#[used]
#[unsafe(link_section = "vitald_probes")]
static INFO: Info = {
    let mut info = odd::info("other_version", std::ptr::dangling());
    info.major = 7;
    info.minor = 3;
    info
};
