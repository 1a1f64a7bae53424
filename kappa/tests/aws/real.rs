//! Real AWS, for those who ask for it: it costs a fraction of a cent.
//!
//! ```text
//! cargo build --release -p kappa --examples
//! kappa deploy work-queue --program target/release/examples/work_queue --create-role   # built for Lambda
//! KAPPA_TEST_AWS_FUNCTION=work-queue KAPPA_TEST_AWS_STORE=s3://BUCKET/PREFIX \
//!     cargo nextest run --release -p kappa --test aws --run-ignored only real
//! ```
//!
//! Region and credentials come from where every AWS tool looks for them. The function's role must be allowed the bucket.

use crate::program::Place;

const INPUT: &str = r#"{"items": 500, "workers": 4, "ending": "close"}"#;

#[test]
#[ignore = "it needs an AWS account, and says how to use it"]
fn a_run_on_real_lambdas_gives_the_same_result_as_here() {
    let variable =
        |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("set {name}, as the head of this file says"));
    let (function, store) = (variable("KAPPA_TEST_AWS_FUNCTION"), variable("KAPPA_TEST_AWS_STORE"));
    let place = Place::new();
    let here = place.run("work_queue", &["run", "--input", INPUT]);
    let there = place.run(
        "work_queue",
        &[
            "run",
            "--input",
            INPUT,
            "--platform",
            "aws",
            "--function",
            &function,
            "--store",
            &store,
        ],
    );
    assert_eq!(there.value(), here.value(), "{}", there.stderr);
}
