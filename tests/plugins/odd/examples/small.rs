//! Says that it has less to say than the border asks for.

use vitald_sdk::abi::Info;

#[used]
#[unsafe(link_section = "vitald_probes")]
static INFO: Info = {
    let mut info = odd::info("small", std::ptr::dangling());
    info.size = 24;
    info
};
