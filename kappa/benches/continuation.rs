//! What the compiled form costs: a checkpoint of three frames with 1 KB live into a link that keeps it in memory, and a loop without suspension
//! points inside a task beside the same loop in a plain function, and with the ones that `#[kappa::task(auto)]` puts into it.

#![allow(missing_docs)] // `criterion_group!` makes a function without any

use async_trait::async_trait;
use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use kappa::ids::{RunId, TaskId};
use kappa::link::Link;
use kappa::prelude::*;
use kappa::protocol::{Answer, Invocation, Payload, Reply, Request, Start};
use kappa::store::{Store, StoreError};
use kappa::task::TaskFunction;
use kappa::worker::run_invocation;
use std::hint::black_box;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Keeps the latest continuation and says at once that it is done.
#[derive(Default)]
struct Memory(Mutex<Option<Request>>);

#[async_trait]
impl Link for Memory {
    async fn send(&self, request: Request) -> Reply {
        *self.0.lock().expect("no holder of this lock panics") = Some(request);
        Reply::Answer(Answer::Done)
    }
}

#[derive(Debug)]
struct NoStore;

#[async_trait]
impl Store for NoStore {
    async fn put(&self, key: &str, _: Bytes) -> std::result::Result<(), StoreError> {
        Err(StoreError::Invalid(format!(
            "{key}: nothing here is large enough for the store"
        )))
    }

    async fn get(&self, key: &str) -> std::result::Result<Bytes, StoreError> {
        Err(StoreError::Invalid(key.into()))
    }

    async fn get_ranges(&self, key: &str, _: &[Range<u64>]) -> std::result::Result<Vec<Bytes>, StoreError> {
        Err(StoreError::Invalid(key.into()))
    }

    async fn delete(&self, _: &str) -> std::result::Result<(), StoreError> {
        Ok(())
    }

    async fn delete_prefix(&self, _: &str) -> std::result::Result<(), StoreError> {
        Ok(())
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn url(&self) -> String {
        "memory:".into()
    }
}

fn run<F: TaskFunction>(call: TaskCall<F>) -> Option<Request> {
    let (function, arguments) = call.into_spec_bytes().expect("plain numbers can be serialised");
    let link = Arc::new(Memory::default());
    let invocation = Invocation {
        run: RunId::generate(),
        task: TaskId::ROOT,
        incarnation: 0,
        function: function.into(),
        start: Start::Begin(Payload::Inline(arguments.into())),
        last_sequence: 0,
        time_limit: None,
    };
    futures::executor::block_on(run_invocation(invocation, link.clone(), Arc::new(NoStore)));
    link.0.lock().expect("no holder of this lock panics").take()
}

#[kappa::task]
async fn outer(cx: &mut Context, times: u64) -> u64 {
    let label = "x".repeat(340);
    cx.call(middle(times)).await + label.len() as u64
}

#[kappa::task]
async fn middle(cx: &mut Context, times: u64) -> u64 {
    let numbers: Vec<u64> = (0..170).map(|n| n * 300).collect();
    cx.call(inner(times)).await + numbers.len() as u64
}

#[kappa::task]
async fn inner(cx: &mut Context, times: u64) -> u64 {
    let label = "y".repeat(340);
    for _ in 0..times {
        cx.checkpoint().await;
    }
    label.len() as u64
}

/// A loop that the optimiser can neither remove nor turn into a formula.
fn plain_loop(n: u64) -> u64 {
    let mut state = n;
    let mut sum = 0_u64;
    for i in 0..n {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        sum = sum.wrapping_add(state ^ i);
    }
    sum
}

#[kappa::task]
async fn task_loop(cx: &mut Context, n: u64, times: u64) -> u64 {
    let mut total = 0;
    for _ in 0..times {
        let mut state = n;
        let mut sum = 0_u64;
        for i in 0..n {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            sum = sum.wrapping_add(state ^ i);
        }
        total ^= black_box(sum);
        cx.checkpoint().await;
    }
    total
}

#[kappa::task(auto)]
async fn auto_loop(cx: &mut Context, n: u64, times: u64) -> u64 {
    let mut total = 0;
    for _ in 0..times {
        let mut state = n;
        let mut sum = 0_u64;
        for i in 0..n {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            sum = sum.wrapping_add(state ^ i);
        }
        total ^= black_box(sum);
    }
    total
}

fn benchmarks(criterion: &mut Criterion) {
    criterion.bench_function("checkpoint, three frames, 1 KB live", |bencher| {
        bencher.iter_custom(|times| {
            let started = Instant::now();
            black_box(run(outer(times)));
            started.elapsed()
        });
    });
    const LENGTH: u64 = 10_000_000;
    let mut group = criterion.benchmark_group("ten million steps without a suspension point");
    group.sample_size(20).measurement_time(Duration::from_secs(6));
    group.bench_function("plain function", |bencher| {
        bencher.iter(|| plain_loop(black_box(LENGTH)))
    });
    group.bench_function("task", |bencher| {
        bencher.iter_custom(|times| {
            let started = Instant::now();
            black_box(run(task_loop(LENGTH, times)));
            started.elapsed()
        });
    });
    group.finish();
    let mut group = criterion.benchmark_group("ten million steps with a checkpoint that is not due in each");
    group.sample_size(20).measurement_time(Duration::from_secs(6));
    group.bench_function("task(auto)", |bencher| {
        bencher.iter_custom(|times| {
            let started = Instant::now();
            black_box(run(auto_loop(LENGTH, times)));
            started.elapsed()
        });
    });
    group.finish();
}

criterion_group!(continuation, benchmarks);
criterion_main!(continuation);
