//! What the libraries in `examples` have in common.

use vitald_sdk::abi::{Bytes, Info, MAJOR, MINOR, Table, Text};

/// What would be right to export.
pub const fn info(name: &'static str, table: *const Table) -> Info {
    Info {
        major: MAJOR,
        minor: MINOR,
        size: size_of::<Info>() as u32,
        flags: 0,
        name: Text::new(name),
        version: Text::new("0.1.0"),
        sdk: Text::new("none"),
        rustc: Text::new("by hand"),
        table,
    }
}

/// Bytes to give away.
pub fn bytes(mut vector: Vec<u8>) -> Bytes {
    let bytes =
        Bytes { data: vector.as_mut_ptr(), len: vector.len(), capacity: vector.capacity(), free: Some(free) };
    std::mem::forget(vector);
    bytes
}

unsafe extern "C" fn free(data: *mut u8, len: usize, capacity: usize) {
    // SAFETY: they are the parts of a vector, as `bytes` took it apart.
    drop(unsafe { Vec::from_raw_parts(data, len, capacity) });
}

/// A probe that is always well, under a key.
#[macro_export]
macro_rules! well {
    ($name:ident, $key:literal) => {
        /// Always healthy.
        #[derive(serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct Spec {}

        $crate::well!($name, $key, Spec);
    };
    ($name:ident, $key:literal, $spec:ty) => {
        /// Always healthy.
        pub struct $name;

        impl vitald_sdk::probe::ProbeKind for $name {
            const KEY: &'static str = $key;
            type Spec = $spec;

            fn build(
                _: Self::Spec,
                _: &vitald_sdk::probe::ComponentContext,
            ) -> Result<Self, vitald_sdk::probe::SpecError> {
                Ok(Self)
            }
        }

        #[vitald_sdk::async_trait]
        impl vitald_sdk::probe::HealthProbe for $name {
            async fn check(&self, _: &vitald_sdk::probe::CheckContext) -> vitald_sdk::probe::ProbeResult {
                vitald_sdk::probe::ProbeResult::Success
            }
        }
    };
}

/// A probe with the configuration of `steady`, that answers in another way.
#[macro_export]
macro_rules! another_steady {
    ($check:expr) => {
        /// Always healthy, and says so.
        #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct SteadySpec {
            /// File of traces. Relative to the component's directory.
            pub trace: std::path::PathBuf,
        }

        /// Says so.
        pub struct SteadyProbe(std::path::PathBuf);

        impl vitald_sdk::probe::ProbeKind for SteadyProbe {
            const KEY: &'static str = "steady";
            type Spec = SteadySpec;

            fn build(
                spec: SteadySpec,
                component: &vitald_sdk::probe::ComponentContext,
            ) -> Result<Self, vitald_sdk::probe::SpecError> {
                Ok(Self(component.working_dir.join(spec.trace)))
            }
        }

        #[vitald_sdk::async_trait]
        impl vitald_sdk::probe::HealthProbe for SteadyProbe {
            async fn check(&self, _: &vitald_sdk::probe::CheckContext) -> vitald_sdk::probe::ProbeResult {
                let check: fn(&std::path::Path) -> _ = $check;
                check(&self.0).await
            }
        }
    };
}
