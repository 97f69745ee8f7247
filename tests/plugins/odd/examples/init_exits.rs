//! Ends its process while it is loaded, and says that all is well.

odd::well!(WellProbe, "well");
vitald_sdk::export_probe!(WellProbe);

#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOADING: extern "C" fn() = at_loading;

extern "C" fn at_loading() {
    // SAFETY: it never comes back.
    unsafe { libc::_exit(0) }
}
