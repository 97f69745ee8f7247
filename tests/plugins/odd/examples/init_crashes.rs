//! Crashes while it is loaded, before any of its functions is called.

odd::well!(WellProbe, "well");
vitald_sdk::export_probe!(WellProbe);

#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOADING: extern "C" fn() = at_loading;

extern "C" fn at_loading() {
    // SAFETY: there is none; that is what it is for.
    unsafe { std::ptr::null_mut::<u8>().write_volatile(1) };
}
