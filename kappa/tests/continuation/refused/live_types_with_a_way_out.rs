use kappa::prelude::*;
use std::rc::Rc;
use std::time::{Duration, Instant};

#[derive(serde::Serialize)]
struct OnlyWritten {
    done: u64,
}

#[kappa::task]
async fn f(cx: &mut Context, to: u64) -> u64 {
    let progress = OnlyWritten { done: to };
    let counted = Rc::new(to);
    let block = [0_u8; 64];
    let started = Instant::now();
    let error = std::io::Error::other("none");
    let mut numbers = vec![to].into_iter();
    let function: Box<dyn Fn(u64) -> u64 + Send + Sync> = Box::new(|x| x + 1);
    let thread = std::thread::spawn(|| 1);
    let timer = tokio::time::sleep(Duration::from_secs(1));
    cx.checkpoint().await;
    timer.await;
    println!("{error} {:?} {:?}", started.elapsed(), thread.join());
    function(progress.done) + *counted + u64::from(block[3]) + numbers.next().unwrap_or(0)
}

fn main() {}
