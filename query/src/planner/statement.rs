//! From SQL text to what is to be done.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{DdlStatement, LogicalPlan, Statement as PlanStatement};
use datafusion::sql::parser::{DFParserBuilder, Statement};

use super::{ctes, stages};
use crate::deep;
use crate::error::{QueryError, Result, innermost_message};
use crate::session::Session;
use crate::stage::StageGraph;

/// How deep brackets, subqueries and calls may be nested. (The parser counts some of them twice or more.)
const DEEPEST: usize = 400;

/// Bytes.
const PARSER_STACK: usize = 64 << 20;

const BATCH_SIZE: &str = "datafusion.execution.batch_size";
const LARGEST_BATCH: u64 = 1 << 20;

/// The settings that a statement may change: those that workers are told, or that planning alone depends on. Others could make an operator look
/// across partitions.
const SETTINGS: [&str; 8] = [
    BATCH_SIZE,
    "datafusion.execution.time_zone",
    "datafusion.optimizer.hash_join_single_partition_threshold",
    "datafusion.optimizer.hash_join_single_partition_threshold_rows",
    "datafusion.optimizer.prefer_hash_join",
    "datafusion.sql_parser.dialect",
    "datafusion.sql_parser.enable_ident_normalization",
    "datafusion.sql_parser.parse_float_as_decimal",
];

/// The setting that a statement changes, with its new value (`None`: back to the default).
///
/// # Errors
/// If the statement, or the setting, is none that a session here can have.
fn changed_setting(plan: &LogicalPlan) -> Result<Option<(String, Option<String>)>> {
    let allowed = |name: &str| match SETTINGS.contains(&name.to_lowercase().as_str()) {
        true => Ok(name.to_lowercase()),
        false => Err(QueryError::unsupported(
            format!("SET {name}"),
            format!("the settings that can be changed are {}", SETTINGS.join(", ")),
        )),
    };
    match plan {
        LogicalPlan::Statement(PlanStatement::SetVariable(set)) => {
            let name = allowed(&set.variable)?;
            // Operators take memory for so many rows in advance.
            if name == BATCH_SIZE && set.value.parse().is_ok_and(|rows: u64| rows > LARGEST_BATCH) {
                return Err(QueryError::unsupported(
                    format!("SET {name} = {}", set.value),
                    format!("a batch has at most {LARGEST_BATCH} rows"),
                ));
            }
            Ok(Some((name, Some(set.value.clone()))))
        }
        LogicalPlan::Statement(PlanStatement::ResetVariable(reset)) => Ok(Some((allowed(&reset.variable)?, None))),
        LogicalPlan::Statement(other) => Err(QueryError::unsupported(
            other.name(),
            "transactions and prepared statements are not supported; write the query itself",
        )),
        LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(_)) => Err(QueryError::unsupported(
            "CREATE TABLE",
            "tables come from the folder given by --data; write CREATE VIEW for a query with a name",
        )),
        LogicalPlan::Ddl(DdlStatement::CreateExternalTable(_)) => Err(QueryError::unsupported(
            "CREATE EXTERNAL TABLE",
            "tables come from the folders given by --data, which may be given several times",
        )),
        _ => Ok(None),
    }
}

/// What a statement asks for.
#[derive(Debug)]
pub enum Prepared {
    /// Run this and give its rows.
    Query(StageGraph),
    /// Show these stages ([`crate::explain`]).
    Explain(StageGraph),
    /// Run these stages and show what they did.
    ExplainAnalyze(StageGraph),
    /// Nothing more: the statement changed the session (`SET`, `CREATE VIEW`, ..) and has done so.
    Done,
}

impl Session {
    /// The statements of a text, separated by semicolons.
    ///
    /// # Errors
    /// If the text is not SQL; the message says where.
    pub fn parse(&self, sql: &str) -> Result<Vec<Statement>> {
        crate::sql::check_numbers(sql)?;
        deep::with(PARSER_STACK, || {
            let parser = DFParserBuilder::new(sql).with_recursion_limit(DEEPEST);
            Ok(parser.build()?.parse_statements()?.into())
        })
    }

    /// Plans a statement. A statement that concerns the session only (`SET`, `CREATE VIEW`) is carried out.
    ///
    /// # Errors
    /// If the statement names what is not there, is wrong, or cannot be run in stages.
    pub async fn prepare(&self, mut statement: Statement) -> Result<Prepared> {
        crate::sql::rewrite(&mut statement)?;
        let state = self.context().state();
        ctes::check(&statement, &state)?;
        match state.statement_to_plan(statement).await? {
            LogicalPlan::Explain(explain) => Ok(Prepared::Explain(self.stages_of(&explain.plan).await?)),
            LogicalPlan::Analyze(analyze) => Ok(Prepared::ExplainAnalyze(self.stages_of(&analyze.input).await?)),
            plan @ (LogicalPlan::Ddl(_) | LogicalPlan::Statement(_)) => {
                let changed = changed_setting(&plan)?;
                self.context().execute_logical_plan(plan).await?;
                if let Some((name, value)) = changed {
                    self.remember_setting(name, value);
                }
                Ok(Prepared::Done)
            }
            plan => Ok(Prepared::Query(self.stages_of(&plan).await?)),
        }
    }

    /// Plans a text that is one query.
    ///
    /// # Errors
    /// As for [`Session::parse`] and [`Session::prepare`]; also if the text is not exactly one query.
    pub async fn plan(&self, sql: &str) -> Result<StageGraph> {
        let mut statements = self.parse(sql)?;
        let (Some(statement), true) = (statements.pop(), statements.is_empty()) else {
            return Err(QueryError::unsupported("this text", "it must be exactly one query"));
        };
        match self.prepare(statement).await? {
            Prepared::Query(graph) => Ok(graph),
            Prepared::Explain(_) | Prepared::ExplainAnalyze(_) | Prepared::Done => {
                Err(QueryError::unsupported("this statement", "it must be a query"))
            }
        }
    }

    async fn stages_of(&self, plan: &LogicalPlan) -> Result<StageGraph> {
        let physical = self
            .context()
            .state()
            .create_physical_plan(plan)
            .await
            .map_err(of_subqueries)?;
        // The names of the result's columns are the query's, not those an optimiser rule left.
        let schema: SchemaRef = Arc::clone(plan.schema().inner());
        let mut graph = stages(physical, self)?;
        if schema.fields().len() == graph.schema.fields().len() {
            let renamed = graph
                .schema
                .fields()
                .iter()
                .zip(schema.fields())
                .map(|(field, named)| Arc::new(field.as_ref().clone().with_name(named.name())));
            graph.schema = Arc::new(datafusion::arrow::datatypes::Schema::new(renamed.collect::<Vec<_>>()));
        }
        Ok(graph)
    }
}

/// Subqueries that are left over, or were put together wrongly, are those that depend on a row outside.
fn of_subqueries(error: DataFusionError) -> QueryError {
    let said = innermost_message(&error);
    let is_left = said.contains("does not support logical expression")
        && ["ScalarSubquery", "InSubquery", "Exists(", "OuterReferenceColumn"]
            .iter()
            .any(|name| said.contains(name));
    let is_mixed_up = said.starts_with("Schema error: Schema contains qualified field name");
    match is_left || is_mixed_up {
        true => QueryError::unsupported(
            "a correlated subquery of this kind",
            "each row outside would need its own; write it as a join with an aggregate or a window, for example row_number() OVER (PARTITION BY ..) = 1",
        ),
        false => error.into(),
    }
}
