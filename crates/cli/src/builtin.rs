//! The probes that come with vitald. A new one is a crate under `probes/` and a line here.

use vitald_core::registry::Registry;
use vitald_probe_docker::DockerProbe;
use vitald_probe_exec::ExecProbe;
use vitald_probe_grpc::GrpcProbe;
use vitald_probe_http_get::HttpGetProbe;
use vitald_probe_log_growth::LogGrowthProbe;
use vitald_probe_memory::MemoryProbe;
use vitald_probe_notify::NotifyProbe;
use vitald_probe_pid::PidProbe;
use vitald_probe_tcp_socket::TcpSocketProbe;
use vitald_probe_temporal::TemporalProbe;

/// All built-in probe kinds.
pub(crate) fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.add::<ExecProbe>();
    registry.add::<HttpGetProbe>();
    registry.add::<TcpSocketProbe>();
    registry.add::<GrpcProbe>();
    registry.add::<PidProbe>();
    registry.add::<LogGrowthProbe>();
    registry.add::<MemoryProbe>();
    registry.add::<NotifyProbe>();
    registry.add::<TemporalProbe>();
    registry.add::<DockerProbe>();
    registry
}
