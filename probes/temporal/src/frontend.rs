//! A Temporal frontend, as far as the probe asks it: one connection, a few calls, errors sorted by what
//! they mean.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use prost::Message;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use vitald_core::env_file;
use vitald_core::probe::SpecError;
use vitald_core::wording::{excerpt, host_port, system_error};
use vitald_net::connection::NoConnection;
use vitald_net::grpc::{self, channel, innermost};
use vitald_net::tls;

use crate::messages::{
    DescribeNamespaceRequest, DescribeTaskQueueRequest, DescribeTaskQueueResponse,
    DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse, ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse, TaskQueue, WorkflowExecution,
};

pub(crate) use crate::messages::TaskQueueType as QueueType;

/// Where the frontend is, and how it is spoken to.
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) namespace: String,
    pub(crate) tls: bool,
    /// PEM, read for every check.
    pub(crate) ca_file: Option<PathBuf>,
    /// File and key of the secret, read for every check.
    pub(crate) api_key: Option<(PathBuf, String)>,
}

/// Why a question was not answered.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// Nothing came within the deadline.
    Late,
    /// The server is down or unwell, or no Temporal frontend.
    Unavailable(String),
    /// The server is there, or the trouble is ours: the question could not be asked.
    NotAsked(String),
    /// The server is well, and has no such namespace.
    NoNamespace(String),
}

/// A worker, and when it polled last by the server's clock.
#[derive(Debug, Clone)]
pub(crate) struct Poller {
    pub(crate) identity: String,
    pub(crate) polled: SystemTime,
}

/// Who has activities of a task queue under way.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    pub(crate) identities: Vec<String>,
    /// More workflows run than were looked at.
    pub(crate) is_partial: bool,
}

impl From<NoConnection> for NoAnswer {
    fn from(none: NoConnection) -> Self {
        match none {
            NoConnection::Refused(reason) => Self::Unavailable(reason),
            NoConnection::Shortage(reason) => Self::NotAsked(reason),
        }
    }
}

impl Server {
    /// `host:port`, with brackets around an IPv6 address.
    pub(crate) fn parse_address(address: &str) -> Result<(String, u16), SpecError> {
        let wrong = || SpecError::new("must be `host:port`, such as `127.0.0.1:7233`");
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(host) if host.parse::<std::net::Ipv6Addr>().is_ok() => host,
            None if !host.is_empty() && !host.contains([':', '[', ']', '@']) => host,
            _ => return Err(wrong()),
        };
        let uri = Endpoint::from_shared(format!("http://{}", host_port(host, port))).map_err(|_| wrong())?;
        match uri.uri().port_u16() {
            Some(found) if found == port => Ok((host.to_owned(), port)),
            _ => Err(wrong()),
        }
    }

    /// Whether what is sent there stays on this machine.
    pub(crate) fn is_local(&self) -> bool {
        let is_loopback = |address: IpAddr| address.is_loopback();
        self.host.eq_ignore_ascii_case("localhost") || self.host.parse().is_ok_and(is_loopback)
    }

    pub(crate) fn name(&self) -> String {
        host_port(&self.host, self.port)
    }

    /// Connects anew: a server that has come back is found at once.
    pub(crate) async fn connect(&self, deadline: Instant) -> Result<Frontend<'_>, NoAnswer> {
        let authorization = match &self.api_key {
            None => None,
            Some((path, key)) => Some(bearer(path, key).map_err(NoAnswer::NotAsked)?),
        };
        let endpoint = self.endpoint().map_err(NoAnswer::NotAsked)?;
        let channel = channel(&endpoint, &self.host, self.port).await?;
        Ok(Frontend { server: self, grpc: Grpc::new(channel), authorization, deadline })
    }

    fn endpoint(&self) -> Result<Endpoint, String> {
        let scheme = if self.tls { "https" } else { "http" };
        let refuse = |err: tonic::transport::Error| format!("TLS cannot be set up: {}", innermost(&err));
        let endpoint = Endpoint::from_shared(format!("{scheme}://{}", self.name()))
            .and_then(|endpoint| endpoint.user_agent(USER_AGENT))
            .map_err(refuse)?;
        if !self.tls {
            return Ok(endpoint);
        }
        let tls = ClientTlsConfig::new();
        match &self.ca_file {
            Some(path) => {
                let pem = regular(path)
                    .and_then(fs::read)
                    .map_err(|err| format!("caFile {}: {}", path.display(), system_error(&err)))?;
                endpoint.tls_config(tls.ca_certificate(Certificate::from_pem(pem))).map_err(refuse)
            }
            // A secret is for the right server only.
            None if self.api_key.is_some() => endpoint.tls_config(tls.with_native_roots()).map_err(refuse),
            None => endpoint.tls_config_with_verifier(tls, tls::any_certificate()).map_err(refuse),
        }
    }
}

const USER_AGENT: &str = concat!("vitald/", env!("CARGO_PKG_VERSION"));

/// Opening a pipe would wait for somebody to write to it.
fn regular(path: &Path) -> io::Result<&Path> {
    match fs::metadata(path)?.is_file() {
        true => Ok(path),
        false => Err(io::Error::other("not a regular file")),
    }
}

/// The header that carries the key. What is said of a mistake holds no part of the key.
fn bearer(path: &Path, key: &str) -> Result<MetadataValue<Ascii>, String> {
    let refuse = |why: String| format!("apiKey: {}{why}", path.display());
    let text = regular(path).and_then(fs::read_to_string);
    let text = text.map_err(|err| refuse(format!(": {}", system_error(&err))))?;
    let variables = env_file::parse(&text).map_err(|(line, what)| refuse(format!(":{line}: {what}")))?;
    let (_, secret) = variables
        .into_iter()
        .rfind(|(name, _)| name == key)
        .ok_or_else(|| refuse(format!(" has no key `{key}`")))?;
    let mut value: MetadataValue<Ascii> = format!("Bearer {secret}")
        .parse()
        .map_err(|_| refuse(format!(": the value of `{key}` cannot be sent in a header")))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A connection for one check.
pub(crate) struct Frontend<'a> {
    server: &'a Server,
    grpc: Grpc<Channel>,
    authorization: Option<MetadataValue<Ascii>>,
    deadline: Instant,
}

/// How many running workflows are looked at to find out who is busy.
const MOST_WORKFLOWS: i32 = 100;

impl Frontend<'_> {
    /// Succeeds if the namespace exists.
    pub(crate) async fn describe_namespace(&mut self) -> Result<(), NoAnswer> {
        let request = DescribeNamespaceRequest { namespace: self.server.namespace.clone() };
        match self.call(DESCRIBE_NAMESPACE, request).await {
            Ok(()) => Ok(()),
            Err(status) => Err(self.sort(DESCRIBE_NAMESPACE, &status)),
        }
    }

    /// Who polled a task queue in the last minutes.
    pub(crate) async fn pollers(&mut self, queue: &str, of: QueueType) -> Result<Vec<Poller>, NoAnswer> {
        const NORMAL: i32 = 1;
        let request = DescribeTaskQueueRequest {
            namespace: self.server.namespace.clone(),
            task_queue: Some(TaskQueue { name: queue.to_owned(), kind: NORMAL }),
            task_queue_type: of.into(),
        };
        let answer = self.call(DESCRIBE_TASK_QUEUE, request).await;
        let answer: DescribeTaskQueueResponse =
            answer.map_err(|status| self.sort(DESCRIBE_TASK_QUEUE, &status))?;
        let polled = |time: prost_types::Timestamp| SystemTime::try_from(time).ok();
        Ok(answer
            .pollers
            .into_iter()
            .filter_map(|poller| {
                Some(Poller { polled: poller.last_access_time.and_then(polled)?, identity: poller.identity })
            })
            .collect())
    }

    /// Which of the workers that `is_meant` names have an activity of this task queue under way, as far as the
    /// newest running workflows tell; looks no further than `enough`.
    pub(crate) async fn busy(
        &mut self,
        queue: &str,
        enough: usize,
        is_meant: impl Fn(&str) -> bool,
    ) -> Result<Busy, NoAnswer> {
        let request = ListWorkflowExecutionsRequest {
            namespace: self.server.namespace.clone(),
            page_size: MOST_WORKFLOWS,
            query: "ExecutionStatus='Running'".to_owned(),
        };
        let running = self.call(LIST_WORKFLOWS, request).await;
        let running: ListWorkflowExecutionsResponse =
            running.map_err(|status| self.sort(LIST_WORKFLOWS, &status))?;
        let mut busy = Busy { is_partial: !running.next_page_token.is_empty(), ..Busy::default() };
        for execution in running.executions.into_iter().filter_map(|info| info.execution) {
            for identity in self.at_work(queue, execution).await? {
                if is_meant(&identity) && !busy.identities.contains(&identity) {
                    busy.identities.push(identity);
                }
            }
            if busy.identities.len() >= enough {
                break;
            }
        }
        Ok(busy)
    }

    /// The workers that have an activity of one workflow under way.
    async fn at_work(&mut self, queue: &str, execution: WorkflowExecution) -> Result<Vec<String>, NoAnswer> {
        const STARTED: i32 = 2;
        const CANCEL_REQUESTED: i32 = 3;
        let request = DescribeWorkflowExecutionRequest {
            namespace: self.server.namespace.clone(),
            execution: Some(execution),
        };
        let answer: DescribeWorkflowExecutionResponse = match self.call(DESCRIBE_WORKFLOW, request).await {
            Ok(answer) => answer,
            // It has ended since.
            Err(status) if status.code() == Code::NotFound => return Ok(Vec::new()),
            Err(status) => return Err(self.sort(DESCRIBE_WORKFLOW, &status)),
        };
        let activities = answer.pending_activities.into_iter();
        Ok(activities
            .filter(|activity| matches!(activity.state, STARTED | CANCEL_REQUESTED))
            // Older servers do not tell the queue.
            .filter(|activity| activity.task_queue().is_none_or(|name| name == queue))
            .map(|activity| activity.last_worker_identity)
            .collect())
    }

    async fn call<Q, A>(&mut self, path: &'static str, request: Q) -> Result<A, Status>
    where
        Q: Message + Default + 'static,
        A: Message + Default + 'static,
    {
        self.grpc.ready().await.map_err(|err| Status::from_error(err.into()))?;
        let mut request = Request::new(request);
        // Not nothing, which would read as no deadline at all.
        let left = self.deadline.saturating_duration_since(Instant::now());
        request.set_timeout(left.max(Duration::from_millis(1)));
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
            // What the hosted service finds the key's account by.
            if let Ok(namespace) = self.server.namespace.parse() {
                request.metadata_mut().insert("temporal-namespace", namespace);
            }
        }
        let codec = ProstCodec::<Q, A>::default();
        Ok(self.grpc.unary(request, PathAndQuery::from_static(path), codec).await?.into_inner())
    }

    /// Says what it means that a call has failed.
    fn sort(&self, path: &'static str, status: &Status) -> NoAnswer {
        let server = self.server.name();
        match grpc::no_answer(&server, status) {
            Some(grpc::NoAnswer::Late) => return NoAnswer::Late,
            Some(grpc::NoAnswer::NoGrpc(reason)) => return NoAnswer::Unavailable(reason),
            None => {}
        }
        let call = path.rsplit('/').next().unwrap_or(path);
        let said = match excerpt(&self.without_secret(status.message())) {
            said if said.is_empty() => said,
            said => format!(": {said}"),
        };
        match status.code() {
            Code::NotFound => {
                NoAnswer::NoNamespace(format!("{server} has no namespace `{}`{said}", self.server.namespace))
            }
            Code::Unimplemented => {
                NoAnswer::Unavailable(format!("{server} does not implement {call}: is it Temporal?"))
            }
            code @ (Code::PermissionDenied | Code::Unauthenticated) => NoAnswer::NotAsked(format!(
                "{server} answers {code:?} to {call}{said}; {}",
                match self.authorization {
                    Some(_) => "look at `apiKey`",
                    None => "does it want an `apiKey`?",
                }
            )),
            code @ (Code::ResourceExhausted | Code::InvalidArgument | Code::FailedPrecondition) => {
                NoAnswer::NotAsked(format!("{server} answers {code:?} to {call}{said}"))
            }
            code => NoAnswer::Unavailable(format!("{server} answers {code:?} to {call}{said}")),
        }
    }

    /// A server may repeat what it was sent.
    fn without_secret(&self, text: &str) -> String {
        let header = self.authorization.as_ref().and_then(|value| value.to_str().ok());
        match header.and_then(|header| header.strip_prefix("Bearer ")) {
            Some(secret) if !secret.is_empty() => text.replace(secret, "…"),
            _ => text.to_owned(),
        }
    }
}

const DESCRIBE_NAMESPACE: &str = "/temporal.api.workflowservice.v1.WorkflowService/DescribeNamespace";
const DESCRIBE_TASK_QUEUE: &str = "/temporal.api.workflowservice.v1.WorkflowService/DescribeTaskQueue";
const LIST_WORKFLOWS: &str = "/temporal.api.workflowservice.v1.WorkflowService/ListWorkflowExecutions";
const DESCRIBE_WORKFLOW: &str = "/temporal.api.workflowservice.v1.WorkflowService/DescribeWorkflowExecution";
