//! An answer that is owed to the other side: given exactly once, whatever happens to who was to give it.
#![allow(unsafe_code)]

use std::pin::Pin;
use std::task::{Context, Poll};

use serde::Serialize;

use crate::abi::{Bytes, Done, Outcome};
use crate::panics::caught;

/// Owes an answer. Dropped without one, it says that it was cancelled.
pub struct Owed(Option<Done>);

// SAFETY: `Done` may be called from any thread, as the border has it.
unsafe impl Send for Owed {}

impl Owed {
    /// Owes it to `done`, which nobody else calls.
    pub fn to(done: Done) -> Self {
        Self(Some(done))
    }

    /// Gives the answer.
    pub fn give(mut self, outcome: Outcome, answer: Vec<u8>) {
        self.call(outcome, Bytes::give(answer));
    }

    fn call(&mut self, outcome: Outcome, answer: Bytes) {
        if let Some(done) = self.0.take() {
            // SAFETY: the one call of it, since it is taken.
            unsafe { (done.call)(done.data, outcome as u32, answer) };
        }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.call(Outcome::Cancelled, Bytes::none());
    }
}

/// Work that ends in an owed answer. What it holds is dropped before the answer is given, so that the answer says
/// also that nothing of it is left; panics end here, also those of drops.
pub struct Work<F> {
    future: Option<Pin<Box<F>>>,
    owed: Option<Owed>,
}

impl<F> Work<F> {
    /// The answer is what `future` comes to, as JSON.
    pub fn new(future: F, owed: Owed) -> Self {
        Self { future: Some(Box::pin(future)), owed: Some(owed) }
    }

    fn end(&mut self, outcome: Outcome, answer: Vec<u8>) {
        let ended = caught(|| drop(self.future.take()));
        let Some(owed) = self.owed.take() else { return };
        match (outcome, ended) {
            (Outcome::Panicked, _) | (_, Ok(())) => owed.give(outcome, answer),
            (_, Err(message)) => owed.give(Outcome::Panicked, message.into_bytes()),
        }
    }
}

impl<F: Future<Output: Serialize>> Future for Work<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some(future) = &mut this.future else { return Poll::Ready(()) };
        match caught(|| future.as_mut().poll(cx).map(|answer| serde_json::to_vec(&answer))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(answer))) => this.end(Outcome::Done, answer),
            Ok(Poll::Ready(Err(err))) => this.end(Outcome::Panicked, err.to_string().into_bytes()),
            Err(message) => this.end(Outcome::Panicked, message.into_bytes()),
        }
        Poll::Ready(())
    }
}

impl<F> Drop for Work<F> {
    fn drop(&mut self) {
        if self.future.is_some() {
            self.end(Outcome::Cancelled, Vec::new());
        }
    }
}
