//! What a graph promises beside its rows.

use kappa_query::explain::explain;
use kappa_query::planner::validate::validate;
use kappa_query::stage::{Exchange, Stage, StageGraph, StageId};

use crate::support::Bench;

const QUERY: &str =
    "SELECT d.name, sum(f.v) FROM facts f LEFT JOIN dims d ON f.k = d.k GROUP BY d.name ORDER BY 1 LIMIT 5";

#[tokio::test]
async fn a_graph_comes_back_from_bytes_as_it_was() {
    let bench = Bench::new().await;
    let graph = bench.session().plan(QUERY).await.unwrap();
    let bytes = graph.to_bytes().unwrap();
    let back = StageGraph::from_bytes(&bytes, &bench.session().task_context()).unwrap();
    assert_eq!(explain(&back), explain(&graph));
    assert_eq!(back.schema, graph.schema);
    assert_eq!(back.to_bytes().unwrap(), bytes, "the same graph has the same bytes");
}

#[tokio::test]
async fn planning_twice_gives_the_same_bytes() {
    let bench = Bench::new().await;
    let first = bench.session().plan(QUERY).await.unwrap().to_bytes().unwrap();
    let second = bench.session().plan(QUERY).await.unwrap().to_bytes().unwrap();
    assert_eq!(first, second);
}

#[tokio::test]
async fn bytes_that_are_no_graph_are_an_error() {
    let bench = Bench::new().await;
    let context = bench.session().task_context();
    let bytes = bench.session().plan(QUERY).await.unwrap().to_bytes().unwrap();
    assert!(StageGraph::from_bytes(b"no graph at all", &context).is_err());
    for length in 1..bytes.len() {
        let part = StageGraph::from_bytes(&bytes[..length], &context);
        assert!(part.is_err(), "the first {length} bytes of {}", bytes.len());
    }
}

#[tokio::test]
async fn the_validator_refuses_what_breaks_the_stage_invariant() {
    let bench = Bench::new().await;
    let graph = bench
        .session()
        .plan("SELECT g, count(*) FROM facts GROUP BY g")
        .await
        .unwrap();
    let context = bench.session().task_context();
    validate(&graph, &context).unwrap();
    let refused = |change: &dyn Fn(&mut Vec<Stage>), part: &str| {
        let mut changed = graph.clone();
        change(&mut changed.stages);
        let error = validate(&changed, &context).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    refused(&|stages| stages[0].units += 1, "units");
    refused(&|stages| stages[0].output = Exchange::Gather, "writes by Gather");
    refused(&|stages| stages[1].inputs.push(StageId(0)), "it says that it reads");
    refused(&|stages| stages.swap(0, 1), "position");
    refused(&|stages| stages[1].output = Exchange::Broadcast, "result");
    refused(
        &|stages| {
            let unused = Stage {
                id: StageId(0),
                ..stages[0].clone()
            };
            stages.insert(0, unused);
            stages[1].id = StageId(1);
            stages[2].id = StageId(2);
        },
        "nobody reads it",
    );
    refused(&|stages| stages.clear(), "no stages");
}

#[tokio::test]
async fn the_validator_refuses_exchanges_inside_a_stage() {
    use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
    use datafusion::physical_plan::limit::GlobalLimitExec;
    let bench = Bench::new().await;
    let context = bench.session().task_context();
    let graph = bench.session().plan("SELECT id FROM facts").await.unwrap();
    let scan = std::sync::Arc::clone(&graph.stages[0].fragment);

    let mut coalesced = graph.clone();
    coalesced.stages[0].fragment = std::sync::Arc::new(CoalescePartitionsExec::new(std::sync::Arc::clone(&scan)));
    coalesced.stages[0].units = 1;
    let error = validate(&coalesced, &context).unwrap_err().to_string();
    assert!(
        error.contains("CoalescePartitionsExec is not known to keep to its partition"),
        "{error}"
    );

    let mut limited = graph.clone();
    limited.stages[0].fragment = std::sync::Arc::new(GlobalLimitExec::new(scan, 0, Some(3)));
    limited.stages[0].units = 1;
    let error = validate(&limited, &context).unwrap_err().to_string();
    assert!(error.contains("a global limit over"), "{error}");
}

#[tokio::test]
async fn explain_shows_units_exchanges_and_inputs() {
    let bench = Bench::new().await;
    let graph = bench
        .session()
        .plan("SELECT g, count(*) FROM facts GROUP BY g ORDER BY g")
        .await
        .unwrap();
    let text = explain(&graph);
    assert!(text.contains("units, Hash([g@0], 4)\n"), "{text}");
    assert!(
        text.contains("stage 1 (result): 4 units, Merge([g@0 ASC NULLS LAST]), reads 0\n"),
        "{text}"
    );
    assert!(text.contains("ShuffleReaderExec: stage=0, Hash([g@0], 4)"), "{text}");
}
