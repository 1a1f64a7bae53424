use crate::support::{SCALE, data};
use kappa_query::session::{Session, SessionOptions};
use kappa_query::stage::StageGraph;
use kappa_tpcds::queries;

#[tokio::test]
async fn all_queries_plan_into_valid_stages_that_survive_being_sent() {
    let session = Session::new(SessionOptions::default()).unwrap();
    session.register_folder(data()).await.unwrap();
    let mut planned = 0;
    for statement in queries::all().iter().flat_map(queries::Query::statements) {
        // Planning ends with the validator, so a graph that is here has passed it.
        let graph = session.plan(&statement.sql).await;
        let graph = graph.unwrap_or_else(|error| panic!("query {} at scale {SCALE}: {error}", statement.name));
        let bytes = graph.to_bytes().unwrap();
        let received = StageGraph::from_bytes(&bytes, &session.task_context()).unwrap();
        assert_eq!(received.stages.len(), graph.stages.len(), "query {}", statement.name);
        for (received, sent) in received.stages.iter().zip(&graph.stages) {
            let drawn = |stage: &kappa_query::stage::Stage| {
                datafusion::physical_plan::displayable(stage.fragment.as_ref())
                    .indent(true)
                    .to_string()
            };
            assert_eq!(drawn(received), drawn(sent), "query {}", statement.name);
        }
        planned += 1;
    }
    assert_eq!(planned, 103);
}
