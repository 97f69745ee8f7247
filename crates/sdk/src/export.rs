//! `export_probe!`, and the one symbol that a library of probes has.
//!
//! The symbol is the SDK's, and so it is there once, however many crates with probes one binary links. What each of
//! them has to say lies in a section of its own; the linker tells where that begins and ends.
#![allow(unsafe_code)]

use crate::abi::{Export, Info, MAGIC};

/// Exports probes from a library, so that vitald can load it: the last line of a custom probe crate.
///
/// ```
/// # use vitald_sdk::async_trait;
/// # use vitald_sdk::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};
/// # pub struct AlwaysProbe;
/// # #[derive(serde::Deserialize, schemars::JsonSchema)]
/// # pub struct AlwaysSpec {}
/// # impl ProbeKind for AlwaysProbe {
/// #     const KEY: &'static str = "always";
/// #     type Spec = AlwaysSpec;
/// #     fn build(_: AlwaysSpec, _: &ComponentContext) -> Result<Self, SpecError> { Ok(Self) }
/// # }
/// # #[async_trait]
/// # impl HealthProbe for AlwaysProbe {
/// #     async fn check(&self, _: &CheckContext) -> ProbeResult { ProbeResult::Success }
/// # }
/// vitald_sdk::export_probe!(AlwaysProbe); // or export_probe!(AlwaysProbe, NeverProbe);
/// ```
///
/// A program that links the crate instead does without it: it adds the kind to its registry, as vitald does with
/// its own, and what is exported lies there unused.
///
/// Each type is a [`ProbeKind`](crate::probe::ProbeKind). Two with one `KEY` do not compile.
#[macro_export]
macro_rules! export_probe {
    ($($probe:ty),+ $(,)?) => {
        const _: () = {
            $crate::export::assert_distinct(&[$(<$probe as $crate::probe::ProbeKind>::KEY),+]);

            struct Exported;

            impl $crate::glue::Exported for Exported {
                fn kinds() -> &'static $crate::export::Registry {
                    static KINDS: ::std::sync::OnceLock<$crate::export::Registry> =
                        ::std::sync::OnceLock::new();
                    KINDS.get_or_init(|| {
                        let mut kinds = $crate::export::Registry::new();
                        $(kinds.add::<$probe>();)+
                        kinds
                    })
                }
            }

            static TABLE: $crate::abi::Table = $crate::glue::table::<Exported>();

            #[used]
            #[unsafe(link_section = "vitald_probes")]
            static INFO: $crate::abi::Info = $crate::export::info(
                ::core::env!("CARGO_PKG_NAME"),
                ::core::env!("CARGO_PKG_VERSION"),
                ::core::cfg!(panic = "abort"),
                &TABLE,
            );
        };
    };
}

#[doc(hidden)]
pub use vitald_core::registry::Registry;

/// What a crate says of itself.
#[doc(hidden)]
pub const fn info(
    name: &'static str,
    version: &'static str,
    panic_aborts: bool,
    table: &'static crate::abi::Table,
) -> Info {
    use crate::abi::{MAJOR, MINOR, PANIC_ABORTS, Text};

    Info {
        major: MAJOR,
        minor: MINOR,
        size: size_of::<Info>() as u32,
        flags: if panic_aborts { PANIC_ABORTS } else { 0 },
        name: Text::new(name),
        version: Text::new(version),
        sdk: Text::new(env!("CARGO_PKG_VERSION")),
        rustc: Text::new(env!("VITALD_SDK_RUSTC")),
        table,
    }
}

/// Fails to compile where two keys are the same.
#[doc(hidden)]
pub const fn assert_distinct(keys: &[&str]) {
    let mut one = 0;
    while one < keys.len() {
        let mut other = one + 1;
        while other < keys.len() {
            assert!(!is_same(keys[one].as_bytes(), keys[other].as_bytes()), "two probes have the same KEY");
            other += 1;
        }
        one += 1;
    }
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

unsafe extern "C" {
    #[link_name = "__start_vitald_probes"]
    static FIRST: Info;
    #[link_name = "__stop_vitald_probes"]
    static END: Info;
}

/// Without this, there is no such section in a program without probes, and nothing where it begins.
#[used]
#[unsafe(link_section = "vitald_probes")]
static NONE: [Info; 0] = [];

/// An [`Export`], and what must be linked with it.
#[repr(C)]
struct Anchored {
    export: Export,
    none: &'static [Info; 0],
}

// SAFETY: only ever read.
unsafe impl Sync for Anchored {}

#[unsafe(export_name = "vitald_plugin")]
static EXPORT: Anchored =
    Anchored { export: Export { magic: MAGIC, first: &raw const FIRST, end: &raw const END }, none: &NONE };

// SAFETY: it points to what never changes and never goes away.
unsafe impl Sync for Info {}
