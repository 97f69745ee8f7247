//! Has nothing to call.

use vitald_sdk::abi::Info;

#[used]
#[unsafe(link_section = "vitald_probes")]
static INFO: Info = odd::info("no_table", std::ptr::null());
