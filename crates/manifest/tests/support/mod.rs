//! Probe kinds shaped like the built-in ones, that check nothing.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(unreachable_pub, reason = "a probe's declaration is public wherever it stands")]

use std::sync::Arc;

use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use serde_json::Value;
use vitald_core::async_trait;
use vitald_core::notify::RunNeeds;
use vitald_core::probe::{
    CheckContext, ComponentContext, HealthProbe, PortRef, ProbeKind, ProbeResult, SpecError,
};
use vitald_core::registry::{AnyKind, Isolation, Linked, Origin, Registry};

pub fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.add::<Exec>();
    registry.add::<HttpGet>();
    registry.add::<TcpSocket>();
    registry.add::<Grpc>();
    registry.add::<Pid>();
    registry
}

/// The same, a custom probe, and a library that was refused.
pub fn registry_with_custom() -> Registry {
    let mut registry = registry();
    registry.insert(Arc::new(Custom(Linked::new()))).unwrap();
    registry.note_refused("/opt/plugins/libkafka.so".into());
    registry
}

/// A kind as it comes from a library.
struct Custom(Linked<DiskSpace>);

impl AnyKind for Custom {
    fn key(&self) -> &str {
        self.0.key()
    }

    fn origin(&self) -> Origin {
        Origin::Library("/opt/plugins/libdisk_space.so".into())
    }

    fn schema(&self) -> &Schema {
        self.0.schema()
    }

    fn validate(&self, config: &Value, component: &ComponentContext) -> Result<(), SpecError> {
        self.0.validate(config, component)
    }

    fn build(
        &self,
        config: &Value,
        component: &ComponentContext,
        isolation: Isolation,
    ) -> Result<Box<dyn HealthProbe>, SpecError> {
        if isolation == Isolation::InProcess && config["path"] == "/aborts" {
            return Err(SpecError::new("a panic would end the supervisor: the library is built to abort"));
        }
        self.0.build(config, component, isolation)
    }

    fn needs(&self, config: &Value) -> RunNeeds {
        self.0.needs(config)
    }
}

macro_rules! probe {
    ($name:ident, $key:literal, $spec:ident, |$parsed:ident, $component:ident| $build:expr) => {
        pub struct $name;

        impl ProbeKind for $name {
            const KEY: &'static str = $key;
            type Spec = $spec;

            fn build($parsed: $spec, $component: &ComponentContext) -> Result<Self, SpecError> {
                $build?;
                Ok(Self)
            }
        }

        #[async_trait]
        impl HealthProbe for $name {
            async fn check(&self, _cx: &CheckContext) -> ProbeResult {
                ProbeResult::Success
            }
        }
    };
}

/// Healthy when a command ends with exit status 0.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExecSpec {
    /// Program and arguments.
    #[schemars(length(min = 1))]
    command: Vec<String>,
    /// Directory to run the command in.
    working_dir: Option<std::path::PathBuf>,
    /// Environment variables.
    #[serde(default)]
    env: Vec<Pair>,
}

/// A name and a value.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pair {
    /// Its name.
    #[schemars(length(min = 1))]
    name: String,
    /// Its value.
    #[serde(default)]
    value: String,
}

probe!(Exec, "exec", ExecSpec, |spec, _component| {
    match spec.command.iter().position(|arg| arg.contains('\0')) {
        Some(i) => Err(SpecError::new("must not contain NUL").at(format!("command[{i}]"))),
        None => Ok(()),
    }
});

/// Healthy when a GET is answered with a status from 200 to 399.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpGetSpec {
    /// Path to ask for. Defaults to `/`.
    #[serde(default)]
    path: String,
    /// Port to ask: a number from 1 to 65535, or the name of one of the component's ports.
    port: PortRef,
    /// Host to ask.
    host: Option<String>,
    /// `HTTP` or `HTTPS`. Defaults to `HTTP`.
    #[serde(default)]
    scheme: Scheme,
    /// Headers to send.
    #[serde(default)]
    http_headers: Vec<Pair>,
}

/// How to talk to the server.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Scheme {
    /// Plain HTTP.
    #[default]
    Http,
    /// HTTP over TLS.
    Https,
}

probe!(HttpGet, "httpGet", HttpGetSpec, |spec, component| {
    match spec.http_headers.iter().position(|header| header.name.contains(' ')) {
        Some(i) => Err(SpecError::new("must be a header name").at("name").at(format!("httpHeaders[{i}]"))),
        None => component.port(&spec.port).map_err(|err| err.at("port")),
    }
});

/// Healthy when a connection is accepted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcpSocketSpec {
    /// Port to connect to: a number from 1 to 65535, or the name of one of the component's ports.
    port: PortRef,
    /// Host to connect to. Defaults to `localhost`.
    host: Option<String>,
}

probe!(TcpSocket, "tcpSocket", TcpSocketSpec, |spec, component| {
    component.port(&spec.port).map_err(|err| err.at("port"))
});

/// Healthy when the gRPC health service answers SERVING.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrpcSpec {
    /// Port to ask: a number from 1 to 65535, or the name of one of the component's ports.
    port: PortRef,
    /// Service to ask about.
    #[serde(default)]
    service: String,
    /// Whether to use TLS. Defaults to `false`.
    #[serde(default)]
    tls: bool,
    /// What to make of a server that has no health service.
    #[serde(default)]
    on_unimplemented: OnUnimplemented,
}

/// What to make of a server that has no health service.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub enum OnUnimplemented {
    #[default]
    Fail,
    Succeed,
}

probe!(Grpc, "grpc", GrpcSpec, |spec, component| component.port(&spec.port).map_err(|err| err.at("port")));

/// Healthy while the process is alive.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PidSpec {
    /// File with the pid.
    pid_file: Option<std::path::PathBuf>,
}

probe!(Pid, "pid", PidSpec, |_spec, _component| Ok::<(), SpecError>(()));

/// Healthy while a file system has room.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DiskSpaceSpec {
    /// A file or folder on it.
    path: std::path::PathBuf,
    /// Percent of it that must be free. Defaults to `10`.
    #[schemars(range(max = 100))]
    min_free_percent: Option<u8>,
}

probe!(DiskSpace, "diskSpace", DiskSpaceSpec, |spec, _component| match spec.path.is_absolute() {
    true => Ok(()),
    false => Err(SpecError::new("must be absolute").at("path")),
});
