use kappa::prelude::*;
use std::fs::File;
use std::io::Read;

#[kappa::task]
async fn length(cx: &mut Context, path: String) -> Result<u64> {
    let mut file = File::open(path)?;
    let mut total = 0;
    while file.read(&mut [0; 1024])? > 0 {
        total += 1;
        cx.checkpoint().await;
    }
    Ok(total)
}

fn main() {}
