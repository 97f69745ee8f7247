//! Prints a megabyte while it is loaded; well apart from that.

odd::well!(WellProbe, "well");
vitald_sdk::export_probe!(WellProbe);

#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOADING: extern "C" fn() = at_loading;

extern "C" fn at_loading() {
    use std::io::Write as _;
    for _ in 0..1 << 14 {
        let line = b"words that nobody waits for, on every stream that there is\n";
        let _ = std::io::stdout().write_all(line);
        let _ = std::io::stderr().write_all(line);
    }
}
