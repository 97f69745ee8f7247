//! A frontend that says what a test wants.

use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use prost::Message;
use prost_types::Timestamp;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::server::{Grpc, NamedService};
use tonic::transport::Server;
use tonic_prost::ProstCodec;

/// An activity that a worker was given.
#[derive(Clone)]
pub(crate) struct Activity {
    pub(crate) identity: &'static str,
    pub(crate) queue: &'static str,
    pub(crate) state: i32,
}

/// Has the namespace `default`, in it the queue `q`, polled for workflow tasks and activities alike.
#[derive(Clone, Default)]
pub(crate) struct Fake {
    pollers: Vec<(String, u64)>,
    activities: Vec<Activity>,
    failing: Option<Status>,
    wanted: Option<&'static str>,
    headers: Arc<Mutex<HeaderMap>>,
    count: Arc<AtomicUsize>,
}

impl Fake {
    pub(crate) fn failing(status: Status) -> Self {
        Self { failing: Some(status), ..Self::default() }
    }

    /// Somebody polled so many seconds ago.
    pub(crate) fn polled(mut self, identity: &str, seconds_ago: u64) -> Self {
        self.pollers.push((identity.to_owned(), seconds_ago));
        self
    }

    /// A workflow runs that has this activity.
    pub(crate) fn with(mut self, activity: Activity) -> Self {
        self.activities.push(activity);
        self
    }

    /// Answers to nobody who does not say this.
    pub(crate) fn wanting(mut self, authorization: &'static str) -> Self {
        self.wanted = Some(authorization);
        self
    }

    /// Those of the last call.
    pub(crate) fn headers(&self) -> HeaderMap {
        self.headers.lock().expect("headers").clone()
    }

    /// How many calls came.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    fn admit(&self, namespace: &str) -> Result<(), Status> {
        if let Some(status) = &self.failing {
            return Err(status.clone());
        }
        let headers = self.headers();
        let shown = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if self.wanted.is_some_and(|wanted| wanted != shown) {
            return Err(Status::unauthenticated(format!("not you, {shown}")));
        }
        match namespace {
            "default" => Ok(()),
            name => Err(Status::not_found(format!("Namespace {name} is not found."))),
        }
    }

    fn task_queue(&self, request: &TaskQueueRequest) -> Pollers {
        const NEXUS: i32 = 3;
        let queue = request.task_queue.as_ref().expect("a queue");
        assert_eq!(queue.kind, 1, "a normal queue is asked about");
        let nobody = queue.name != "q" || request.task_queue_type == NEXUS;
        let pollers = if nobody { &[][..] } else { &self.pollers };
        let pollers = pollers.iter().map(|(identity, seconds_ago)| Poller {
            last_access_time: Some((SystemTime::now() - Duration::from_secs(*seconds_ago)).into()),
            identity: identity.clone(),
            rate_per_second: 100_000.0,
        });
        Pollers { pollers: pollers.collect() }
    }

    fn running(&self, request: &ListRequest) -> Workflows {
        assert_eq!((request.query.as_str(), request.page_size), ("ExecutionStatus='Running'", 100));
        let workflow = || Workflow { execution: Some(execution()), task_queue: "other".into() };
        Workflows { executions: self.activities.iter().take(1).map(|_| workflow()).collect() }
    }

    fn workflow(&self, request: &WorkflowRequest) -> Description {
        assert_eq!(request.execution, Some(execution()));
        let pending = self.activities.iter().map(|activity| Pending {
            activity_id: "1".into(),
            state: activity.state,
            last_worker_identity: activity.identity.into(),
            activity_options: Some(Options {
                task_queue: Some(Queue { name: activity.queue.into(), kind: 1 }),
            }),
        });
        Description { pending_activities: pending.collect() }
    }
}

fn execution() -> Execution {
    Execution { workflow_id: "w".into(), run_id: "r".into() }
}

/// A server that can be stopped, and come back on the same port.
pub(crate) struct Served {
    port: u16,
    task: JoinHandle<()>,
}

impl Served {
    pub(crate) async fn new(fake: &Fake) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        Self { port, task: spawn(Server::builder(), listener, fake) }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) async fn stop(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    pub(crate) async fn restart(&mut self, fake: &Fake) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.expect("the same port");
        self.task = spawn(Server::builder(), listener, fake);
    }
}

/// Serves to the end of the test; gives the port.
pub(crate) async fn serve(server: Server, fake: &Fake) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    spawn(server, listener, fake);
    port
}

fn spawn(mut server: Server, listener: TcpListener, fake: &Fake) -> JoinHandle<()> {
    let router = server.add_service(fake.clone());
    tokio::spawn(async move { drop(router.serve_with_incoming(TcpListenerStream::new(listener)).await) })
}

/// A server that closes every connection after the first words; its address.
pub(crate) async fn closing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            drop(stream.read(&mut [0; 1024]).await);
        }
    });
    address
}

impl NamedService for Fake {
    const NAME: &'static str = "temporal.api.workflowservice.v1.WorkflowService";
}

impl tower::Service<Request<Body>> for Fake {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.count.fetch_add(1, Ordering::SeqCst);
        *self.headers.lock().expect("headers") = request.headers().clone();
        let fake = self.clone();
        Box::pin(async move {
            let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            Ok(match &*method {
                "DescribeNamespace" => {
                    unary(request, move |ask: NamespaceRequest| fake.admit(&ask.namespace)).await
                }
                "DescribeTaskQueue" => {
                    let answer = move |ask: TaskQueueRequest| {
                        fake.admit(&ask.namespace).map(|()| fake.task_queue(&ask))
                    };
                    unary(request, answer).await
                }
                "ListWorkflowExecutions" => {
                    let answer =
                        move |ask: ListRequest| fake.admit(&ask.namespace).map(|()| fake.running(&ask));
                    unary(request, answer).await
                }
                "DescribeWorkflowExecution" => {
                    let answer =
                        move |ask: WorkflowRequest| fake.admit(&ask.namespace).map(|()| fake.workflow(&ask));
                    unary(request, answer).await
                }
                other => panic!("no such method here: {other}"),
            })
        })
    }
}

async fn unary<Q, A>(
    request: Request<Body>,
    answer: impl Fn(Q) -> Result<A, Status> + Send + 'static,
) -> Response<Body>
where
    Q: Message + Default + 'static,
    A: Message + Default + 'static,
{
    let service = tower::service_fn(move |request: tonic::Request<Q>| {
        ready(answer(request.into_inner()).map(tonic::Response::new))
    });
    Grpc::new(ProstCodec::<A, Q>::default()).unary(service, request).await
}

// As the public API definition has them, written down again.

#[derive(Clone, PartialEq, prost::Message)]
struct NamespaceRequest {
    #[prost(string, tag = "1")]
    namespace: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TaskQueueRequest {
    #[prost(string, tag = "1")]
    namespace: String,
    #[prost(message, optional, tag = "2")]
    task_queue: Option<Queue>,
    #[prost(int32, tag = "3")]
    task_queue_type: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Queue {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, tag = "2")]
    kind: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Pollers {
    #[prost(message, repeated, tag = "1")]
    pollers: Vec<Poller>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Poller {
    #[prost(message, optional, tag = "1")]
    last_access_time: Option<Timestamp>,
    #[prost(string, tag = "2")]
    identity: String,
    #[prost(double, tag = "3")]
    rate_per_second: f64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ListRequest {
    #[prost(string, tag = "1")]
    namespace: String,
    #[prost(int32, tag = "2")]
    page_size: i32,
    #[prost(string, tag = "4")]
    query: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Workflows {
    #[prost(message, repeated, tag = "1")]
    executions: Vec<Workflow>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Workflow {
    #[prost(message, optional, tag = "1")]
    execution: Option<Execution>,
    #[prost(string, tag = "13")]
    task_queue: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Execution {
    #[prost(string, tag = "1")]
    workflow_id: String,
    #[prost(string, tag = "2")]
    run_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WorkflowRequest {
    #[prost(string, tag = "1")]
    namespace: String,
    #[prost(message, optional, tag = "2")]
    execution: Option<Execution>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Description {
    #[prost(message, repeated, tag = "3")]
    pending_activities: Vec<Pending>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Pending {
    #[prost(string, tag = "1")]
    activity_id: String,
    #[prost(int32, tag = "3")]
    state: i32,
    #[prost(string, tag = "12")]
    last_worker_identity: String,
    #[prost(message, optional, tag = "24")]
    activity_options: Option<Options>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Options {
    #[prost(message, optional, tag = "1")]
    task_queue: Option<Queue>,
}
