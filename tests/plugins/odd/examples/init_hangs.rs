//! Never comes back from being loaded.

odd::well!(WellProbe, "well");
vitald_sdk::export_probe!(WellProbe);

#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOADING: extern "C" fn() = at_loading;

extern "C" fn at_loading() {
    loop {
        std::thread::sleep(std::time::Duration::from_secs(3600));
    }
}
