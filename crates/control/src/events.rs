//! Events as lines of JSON, with or without an end.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use vitald_core::status::{EventRecord, EventType};

type Follow = (broadcast::Receiver<EventRecord>, CancellationToken);

/// Recent events, then, if asked to follow, those to come, until the server ends.
pub(crate) fn ndjson(
    recent: Vec<EventRecord>,
    follow: Option<Follow>,
    component: Option<String>,
) -> Response {
    let lines = events(recent, follow).filter_map(move |event| {
        let wanted = component.as_ref().is_none_or(|name| *name == event.component || is_gap(&event));
        std::future::ready(wanted.then(|| line(&event)))
    });
    let body = Body::from_stream(lines.map(Ok::<_, Infallible>));
    ([(CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

fn events(recent: Vec<EventRecord>, follow: Option<Follow>) -> impl Stream<Item = EventRecord> {
    let news = stream::unfold(follow, async |follow| {
        let (mut receiver, stop) = follow?;
        let next = tokio::select! {
            next = receiver.recv() => next,
            () = stop.cancelled() => return None,
        };
        match next {
            Ok(event) => Some((event, Some((receiver, stop)))),
            Err(RecvError::Lagged(missed)) => Some((gap(missed), Some((receiver, stop)))),
            Err(RecvError::Closed) => None,
        }
    });
    stream::iter(recent).chain(news)
}

const GAP: &str = "EventsLost";

/// What a reader that was too slow sees instead of what it missed.
fn gap(missed: u64) -> EventRecord {
    EventRecord {
        time: format!("{:.3}", jiff::Timestamp::now()),
        component: String::new(),
        kind: EventType::Warning,
        reason: GAP.into(),
        message: format!("{missed} events were not delivered: this reader is too slow"),
        count: missed,
    }
}

fn is_gap(event: &EventRecord) -> bool {
    event.component.is_empty() && event.reason == GAP
}

fn line(event: &EventRecord) -> Bytes {
    let mut json = serde_json::to_vec(event).unwrap_or_default();
    json.push(b'\n');
    json.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(reason: &str) -> EventRecord {
        EventRecord { reason: reason.into(), component: "web".into(), ..gap(1) }
    }

    async fn reasons(stream: impl Stream<Item = EventRecord>) -> Vec<String> {
        stream.map(|event| event.reason).collect().await
    }

    #[tokio::test]
    async fn ends_after_the_recent_ones_unless_it_follows() {
        assert_eq!(reasons(events(vec![event("Started")], None)).await, ["Started"]);
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_where_the_gap_is() {
        let (sender, receiver) = broadcast::channel(2);
        for reason in ["A", "B", "C", "D"] {
            sender.send(event(reason)).unwrap();
        }
        drop(sender);
        let follow = Some((receiver, CancellationToken::new()));
        assert_eq!(reasons(events(vec![event("Started")], follow)).await, ["Started", GAP, "C", "D"]);
    }

    #[tokio::test]
    async fn the_end_of_the_server_ends_the_stream() {
        let (_sender, receiver) = broadcast::channel(2);
        let stop = CancellationToken::new();
        stop.cancel();
        assert_eq!(reasons(events(vec![], Some((receiver, stop)))).await, Vec::<String>::new());
    }
}
