//! Groups of operations of one kind over the store's own connection. The members of a group run beside each other, in
//! rounds:
//!
//! 1. Each member runs until it waits for replies, or is done.
//! 2. The requests of all members go in one pipeline.
//! 3. Each member gets its replies, and the next round begins.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use super::channel::{Answers, Channel};
use super::command::Request;
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::runtime::Task;

/// What a member of a group sends, and waits for.
#[derive(Default)]
pub(super) struct MemberChannel {
    exchange: Mutex<Exchange>,
    one_server: bool,
}

#[derive(Default)]
enum Exchange {
    #[default]
    Idle,
    Asked(Vec<Request>),
    Answered(Result<Answers>),
}

impl MemberChannel {
    fn swap(&self, exchange: Exchange) -> Exchange {
        std::mem::replace(&mut *self.exchange.lock().unwrap_or_else(PoisonError::into_inner), exchange)
    }
}

impl Channel for MemberChannel {
    fn one_server(&self) -> bool {
        self.one_server
    }

    async fn send(&self, requests: Vec<Request>) -> Result<Answers> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        self.swap(Exchange::Asked(requests));
        poll_fn(|_| match self.swap(Exchange::Idle) {
            Exchange::Answered(answers) => Poll::Ready(answers),
            other => {
                self.swap(other);
                Poll::Pending
            }
        })
        .await
    }
}

/// One of the futures of a group.
struct Member<'a> {
    channel: Arc<MemberChannel>,
    work: Task<'a, Vec<(usize, Result<Reply>)>>,
}

/// Runs operations, each given by its place; those of one chain one after the other. A place that is in no chain has an
/// error.
pub(super) async fn run<'a>(
    on: &impl Channel,
    chains: &'a [Vec<usize>],
    operation: impl Fn(Arc<MemberChannel>, usize) -> Task<'a, Result<Reply>> + Clone + Send + 'a,
) -> Vec<Result<Reply>> {
    let unanswered = || Err(Error::new(Kind::Backend, "an operation of a group waited for something else"));
    let count = chains.iter().flatten().max().map_or(0, |last| last + 1);
    let mut results: Vec<Result<Reply>> = (0..count).map(|_| unanswered()).collect();
    let one_server = on.one_server();
    let mut members: Vec<Member<'a>> =
        chains.iter().map(|chain| member(chain, one_server, operation.clone())).collect();
    while !members.is_empty() {
        let mut left = Vec::with_capacity(members.len());
        let polled = poll_fn(|context| {
            let polled: Vec<_> = members.iter_mut().map(|member| member.work.as_mut().poll(context)).collect();
            Poll::Ready(polled)
        });
        for (member, polled) in polled.await.into_iter().zip(0..).map(|(polled, at)| (at, polled)) {
            match polled {
                Poll::Ready(done) => {
                    for (at, result) in done {
                        results[at] = result;
                    }
                }
                Poll::Pending => left.push(member),
            }
        }
        members = keep(members, &left);
        let channels: Vec<Arc<MemberChannel>> = members.iter().map(|member| Arc::clone(&member.channel)).collect();
        if !exchange(on, &channels).await {
            break;
        }
    }
    results
}

fn member<'a>(
    chain: &'a [usize],
    one_server: bool,
    operation: impl Fn(Arc<MemberChannel>, usize) -> Task<'a, Result<Reply>> + Send + 'a,
) -> Member<'a> {
    let channel = Arc::new(MemberChannel { one_server, ..MemberChannel::default() });
    let on = Arc::clone(&channel);
    let work = Box::pin(async move {
        let mut done = Vec::with_capacity(chain.len());
        for at in chain {
            done.push((*at, operation(Arc::clone(&on), *at).await));
        }
        done
    });
    Member { channel, work }
}

/// The members at these places, which are in order.
fn keep<'a>(members: Vec<Member<'a>>, places: &[usize]) -> Vec<Member<'a>> {
    let mut places = places.iter().copied().peekable();
    let kept = members.into_iter().enumerate().filter(|(at, _)| places.next_if_eq(at).is_some());
    kept.map(|(_, member)| member).collect()
}

/// Sends what the members have asked for, and hands them the answers; whether they asked at all.
async fn exchange(on: &impl Channel, channels: &[Arc<MemberChannel>]) -> bool {
    let (mut all, mut counts) = (Vec::new(), Vec::with_capacity(channels.len()));
    for channel in channels {
        if let Exchange::Asked(requests) = channel.swap(Exchange::Idle) {
            counts.push(requests.len());
            all.extend(requests);
        } else {
            counts.push(0);
        }
    }
    if all.is_empty() {
        return channels.is_empty();
    }
    let mut answers = on.send(all).await.map(Vec::into_iter);
    for (channel, count) in channels.iter().zip(counts).filter(|(_, count)| *count > 0) {
        let answers = match &mut answers {
            Ok(answers) => Ok(answers.by_ref().take(count).collect()),
            Err(error) => Err(error.clone()),
        };
        channel.swap(Exchange::Answered(answers));
    }
    true
}
