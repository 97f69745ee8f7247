//! The messages, by hand: of `temporal/api/workflowservice/v1` and what it refers to, as far as the probe
//! needs them. What is not named here is passed over. Field numbers never change.

use std::fmt;

use prost_types::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

/// One of the queues that a task queue's name stands for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
#[repr(i32)]
pub enum TaskQueueType {
    /// Workflow tasks.
    Workflow = 1,
    /// Activities.
    Activity = 2,
    /// Nexus operations.
    Nexus = 3,
}

impl fmt::Display for TaskQueueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Workflow => "workflow",
            Self::Activity => "activity",
            Self::Nexus => "nexus",
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DescribeNamespaceRequest {
    #[prost(string, tag = "1")]
    pub(crate) namespace: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DescribeTaskQueueRequest {
    #[prost(string, tag = "1")]
    pub(crate) namespace: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) task_queue: Option<TaskQueue>,
    #[prost(enumeration = "TaskQueueType", tag = "3")]
    pub(crate) task_queue_type: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TaskQueue {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(int32, tag = "2")]
    pub(crate) kind: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DescribeTaskQueueResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) pollers: Vec<PollerInfo>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PollerInfo {
    #[prost(message, optional, tag = "1")]
    pub(crate) last_access_time: Option<Timestamp>,
    #[prost(string, tag = "2")]
    pub(crate) identity: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListWorkflowExecutionsRequest {
    #[prost(string, tag = "1")]
    pub(crate) namespace: String,
    #[prost(int32, tag = "2")]
    pub(crate) page_size: i32,
    #[prost(string, tag = "4")]
    pub(crate) query: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListWorkflowExecutionsResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) executions: Vec<WorkflowExecutionInfo>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) next_page_token: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WorkflowExecutionInfo {
    #[prost(message, optional, tag = "1")]
    pub(crate) execution: Option<WorkflowExecution>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WorkflowExecution {
    #[prost(string, tag = "1")]
    pub(crate) workflow_id: String,
    #[prost(string, tag = "2")]
    pub(crate) run_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DescribeWorkflowExecutionRequest {
    #[prost(string, tag = "1")]
    pub(crate) namespace: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) execution: Option<WorkflowExecution>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DescribeWorkflowExecutionResponse {
    #[prost(message, repeated, tag = "3")]
    pub(crate) pending_activities: Vec<PendingActivityInfo>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PendingActivityInfo {
    /// 1 scheduled, 2 started, 3 cancel requested.
    #[prost(int32, tag = "3")]
    pub(crate) state: i32,
    #[prost(string, tag = "12")]
    pub(crate) last_worker_identity: String,
    #[prost(message, optional, tag = "24")]
    pub(crate) activity_options: Option<ActivityOptions>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ActivityOptions {
    #[prost(message, optional, tag = "1")]
    pub(crate) task_queue: Option<TaskQueue>,
}

impl PendingActivityInfo {
    pub(crate) fn task_queue(&self) -> Option<&str> {
        let task_queue = self.activity_options.as_ref()?.task_queue.as_ref()?;
        Some(&*task_queue.name).filter(|name| !name.is_empty())
    }
}
