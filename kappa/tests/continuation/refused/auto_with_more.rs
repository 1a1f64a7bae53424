#[kappa::task(auto, fast)]
async fn f(cx: &mut kappa::Context) -> u64 {
    1
}

fn main() {}
