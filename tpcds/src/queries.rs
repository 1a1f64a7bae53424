//! The 99 queries as templates, and their text once the parameters are filled in.
//!
//! A template is a file of `queries/`: a header of comment lines (`-- TPC-DS query N: what it asks`, then `-- param name = value`, where the value
//! is the specification's qualification value), followed by the SQL, in which `${name}` stands for a parameter. Queries 14, 23, 24 and 39 are
//! two statements, parted by a line with only a semicolon.

use std::sync::LazyLock;

macro_rules! templates {
    ($($number:literal)*) => { [$(($number, include_str!(concat!("../queries/q", $number, ".sql")))),*] };
}

#[rustfmt::skip]
const TEMPLATES: [(&str, &str); 99] = templates! {
    "01" "02" "03" "04" "05" "06" "07" "08" "09" "10" "11" "12" "13" "14" "15" "16" "17" "18" "19" "20"
    "21" "22" "23" "24" "25" "26" "27" "28" "29" "30" "31" "32" "33" "34" "35" "36" "37" "38" "39" "40"
    "41" "42" "43" "44" "45" "46" "47" "48" "49" "50" "51" "52" "53" "54" "55" "56" "57" "58" "59" "60"
    "61" "62" "63" "64" "65" "66" "67" "68" "69" "70" "71" "72" "73" "74" "75" "76" "77" "78" "79" "80"
    "81" "82" "83" "84" "85" "86" "87" "88" "89" "90" "91" "92" "93" "94" "95" "96" "97" "98" "99"
};

// The expectation cannot fail: a test parses every template that is compiled in.
static QUERIES: LazyLock<Vec<Query>> = LazyLock::new(|| {
    let parsed: Result<Vec<_>, _> = TEMPLATES.iter().map(|(_, template)| Query::parse(template)).collect();
    parsed.expect("the templates are well-formed")
});

/// One query template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// 1 to 99.
    pub number: u32,
    /// What it asks, in words.
    pub title: String,
    /// What can be substituted, in the order of the template.
    pub parameters: Vec<Parameter>,
    /// One or two statements with `${name}` where the parameters go.
    templates: Vec<String>,
}

/// One substitution parameter of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, as in `${name}`.
    pub name: String,
    /// The specification's qualification value.
    pub default: String,
}

/// One statement of a query, ready to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// `95`, or `14.1` and `14.2` if the query has two.
    pub name: String,
    /// Its text.
    pub sql: String,
}

/// A query or a parameter that does not exist, or a template that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// No query has this number.
    #[error("there is no query `{0}`; TPC-DS has queries 1 to 99: give numbers and ranges, for example 1,16,90-95")]
    NoSuchQuery(String),
    /// The query has no such parameter.
    #[error("query {number} has no parameter `{name}`; it has {known}")]
    NoSuchParameter {
        /// The query.
        number: u32,
        /// What was asked for.
        name: String,
        /// What it has.
        known: String,
    },
    /// A parameter that was not given as `name=value`.
    #[error("`{0}` is not a parameter; write name=value, for example year=2001")]
    NotAParameter(String),
    /// The template breaks the rules.
    #[error("malformed query template: {0}")]
    Template(String),
}

/// All queries, by number.
pub fn all() -> &'static [Query] {
    &QUERIES
}

/// The query with this number.
pub fn get(number: u32) -> Result<&'static Query, QueryError> {
    QUERIES
        .iter()
        .find(|query| query.number == number)
        .ok_or_else(|| QueryError::NoSuchQuery(number.to_string()))
}

/// Reads a selection such as `1,16,90-95`: in the order given, each query once.
pub fn select(selection: &str) -> Result<Vec<&'static Query>, QueryError> {
    let mut selected: Vec<&Query> = Vec::new();
    for item in selection.split(',').map(str::trim) {
        let no_such_query = || QueryError::NoSuchQuery(item.to_owned());
        let number = |text: &str| {
            text.trim()
                .trim_start_matches(['q', 'Q'])
                .parse::<u32>()
                .map_err(|_| no_such_query())
        };
        let (first, last) = match item.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(item)?, number(item)?),
        };
        if first > last || last > 99 {
            return Err(no_such_query());
        }
        for number in first..=last {
            let query = get(number).map_err(|_| no_such_query())?;
            if !selected.contains(&query) {
                selected.push(query);
            }
        }
    }
    Ok(selected)
}

/// Splits `name=value`.
pub fn parameter(text: &str) -> Result<(String, String), QueryError> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.trim().to_owned())),
        _ => Err(QueryError::NotAParameter(text.to_owned())),
    }
}

impl Query {
    /// The statements with the qualification values.
    pub fn statements(&self) -> Vec<Statement> {
        self.fill(&|parameter| &parameter.default)
    }

    /// The statements with some values replaced: `("year", "2001")`.
    pub fn statements_with(&self, overrides: &[(String, String)]) -> Result<Vec<Statement>, QueryError> {
        for (name, _) in overrides {
            if !self.parameters.iter().any(|parameter| parameter.name == *name) {
                let names: Vec<_> = self
                    .parameters
                    .iter()
                    .map(|parameter| parameter.name.as_str())
                    .collect();
                let known = if names.is_empty() {
                    "none".to_owned()
                } else {
                    names.join(", ")
                };
                return Err(QueryError::NoSuchParameter {
                    number: self.number,
                    name: name.clone(),
                    known,
                });
            }
        }
        let value_of = |parameter: &Parameter| -> String {
            let replaced = overrides.iter().rev().find(|(name, _)| *name == parameter.name);
            replaced.map_or_else(|| parameter.default.clone(), |(_, value)| value.clone())
        };
        let values: Vec<_> = self.parameters.iter().map(value_of).collect();
        Ok(self.fill(&|parameter| {
            let index = self.parameters.iter().position(|candidate| candidate == parameter);
            index.map_or(parameter.default.as_str(), |index| values[index].as_str())
        }))
    }

    fn fill<'a>(&'a self, value_of: &dyn Fn(&'a Parameter) -> &'a str) -> Vec<Statement> {
        let fill_one = |template: &String| {
            self.parameters.iter().fold(template.clone(), |sql, parameter| {
                sql.replace(&placeholder(&parameter.name), value_of(parameter))
            })
        };
        let several = self.templates.len() > 1;
        let named = |(index, template)| Statement {
            name: if several {
                format!("{}.{}", self.number, index + 1)
            } else {
                self.number.to_string()
            },
            sql: fill_one(template),
        };
        self.templates.iter().enumerate().map(named).collect()
    }

    fn parse(template: &str) -> Result<Query, QueryError> {
        let malformed = |what: String| QueryError::Template(what);
        let header: Vec<&str> = template.lines().take_while(|line| line.starts_with("--")).collect();
        let first = header.first().copied().unwrap_or_default();
        let (number, title) = first
            .strip_prefix("-- TPC-DS query ")
            .and_then(|rest| rest.split_once(':'))
            .and_then(|(number, title)| Some((number.trim().parse::<u32>().ok()?, title.trim())))
            .ok_or_else(|| malformed(format!("the first line is `{first}`, not `-- TPC-DS query N: text`")))?;

        let mut title = title.to_owned();
        let mut parameters: Vec<Parameter> = Vec::new();
        for line in &header[1..] {
            let Some(declaration) = line.strip_prefix("-- param ") else {
                title = format!("{title} {}", line.trim_start_matches('-').trim());
                continue;
            };
            let (name, default) = parameter(declaration)
                .map_err(|_| malformed(format!("query {number}: `{line}` declares no parameter")))?;
            if parameters.iter().any(|parameter| parameter.name == name) {
                return Err(malformed(format!("query {number} declares parameter {name} twice")));
            }
            parameters.push(Parameter { name, default });
        }

        let body: Vec<&str> = template.lines().skip(header.len()).collect();
        let mut templates = Vec::new();
        for statement in body.split(|line| line.trim() == ";") {
            let statement = statement.join("\n").trim().to_owned();
            if !statement.is_empty() {
                templates.push(statement);
            }
        }
        let query = Query {
            number,
            title,
            parameters,
            templates,
        };
        query.check_placeholders()?;
        Ok(query)
    }

    /// Every placeholder is declared, and every declared parameter is used.
    fn check_placeholders(&self) -> Result<(), QueryError> {
        let malformed = |what: String| Err(QueryError::Template(format!("query {}: {what}", self.number)));
        if self.templates.is_empty() {
            return malformed("it has no statement".to_owned());
        }
        let text = self.templates.join("\n");
        for parameter in &self.parameters {
            if !text.contains(&placeholder(&parameter.name)) {
                return malformed(format!("parameter {} is not used", parameter.name));
            }
            if parameter.default.contains("${") {
                return malformed(format!("the value of {} contains a placeholder", parameter.name));
            }
        }
        for rest in text.split("${").skip(1) {
            let name = rest.split_once('}').map(|(name, _)| name);
            if !self
                .parameters
                .iter()
                .any(|parameter| Some(parameter.name.as_str()) == name)
            {
                return malformed(format!(
                    "`${{{}` is not a declared parameter",
                    rest.chars().take(20).collect::<String>()
                ));
            }
        }
        Ok(())
    }
}

fn placeholder(name: &str) -> String {
    format!("${{{name}}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::parser::DFParser;

    #[test]
    fn all_99_templates_are_well_formed_and_in_order() {
        for (index, (name, template)) in TEMPLATES.iter().enumerate() {
            let query = Query::parse(template).unwrap_or_else(|error| panic!("q{name}.sql: {error}"));
            assert_eq!(query.number as usize, index + 1, "q{name}.sql");
            assert!(!query.title.is_empty(), "q{name}.sql has no title");
            let expected = if [14, 23, 24, 39].contains(&query.number) { 2 } else { 1 };
            assert_eq!(query.templates.len(), expected, "q{name}.sql");
        }
    }

    #[test]
    fn every_statement_is_one_statement_of_sql_without_placeholders() {
        for query in all() {
            for statement in query.statements() {
                assert!(!statement.sql.contains("${"), "{}", statement.name);
                let parsed = DFParser::parse_sql(&statement.sql);
                let parsed = parsed.unwrap_or_else(|error| panic!("query {}: {error}", statement.name));
                assert_eq!(parsed.len(), 1, "query {}", statement.name);
            }
        }
    }

    const SAMPLE: &str = "-- TPC-DS query 7: averages\n-- of items.\n-- param year = 2000\n-- param state = TN\n\
        select ${year}, '${state}', ${year}\n;\nselect '${state}'\n";

    #[test]
    fn parameters_are_replaced_everywhere_and_defaults_stay() {
        let query = Query::parse(SAMPLE).unwrap();
        assert_eq!(query.title, "averages of items.");
        let sql = |overrides: &[(&str, &str)]| -> Vec<String> {
            let overrides: Vec<_> = overrides
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect();
            query
                .statements_with(&overrides)
                .unwrap()
                .into_iter()
                .map(|statement| statement.sql)
                .collect()
        };
        assert_eq!(sql(&[]), ["select 2000, 'TN', 2000", "select 'TN'"]);
        assert_eq!(sql(&[("year", "1999")]), ["select 1999, 'TN', 1999", "select 'TN'"]);
        assert_eq!(
            sql(&[("state", "OH"), ("state", "SD")]),
            ["select 2000, 'SD', 2000", "select 'SD'"]
        );
        let names: Vec<_> = query.statements().into_iter().map(|statement| statement.name).collect();
        assert_eq!(names, ["7.1", "7.2"]);
    }

    #[test]
    fn an_unknown_parameter_is_refused_and_the_known_ones_are_named() {
        let query = Query::parse(SAMPLE).unwrap();
        let error = query
            .statements_with(&[("yaer".to_owned(), "1".to_owned())])
            .unwrap_err();
        assert_eq!(error.to_string(), "query 7 has no parameter `yaer`; it has year, state");
        assert!(parameter("year").is_err() && parameter("=1").is_err());
        assert_eq!(parameter("a = b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
    }

    #[test]
    fn templates_that_break_the_rules_are_refused() {
        for (template, complaint) in [
            ("select 1", "not `-- TPC-DS query N: text`"),
            ("-- TPC-DS query 1: x\n", "has no statement"),
            ("-- TPC-DS query 1: x\n-- param y = 1\nselect 1", "y is not used"),
            ("-- TPC-DS query 1: x\nselect ${y}", "is not a declared parameter"),
            ("-- TPC-DS query 1: x\nselect ${y", "is not a declared parameter"),
            (
                "-- TPC-DS query 1: x\n-- param y = 1\n-- param y = 2\nselect ${y}",
                "twice",
            ),
            ("-- TPC-DS query 1: x\n-- param y\nselect ${y}", "declares no parameter"),
        ] {
            let error = Query::parse(template).unwrap_err().to_string();
            assert!(error.contains(complaint), "{template:?}: {error}");
        }
    }

    #[test]
    fn selections_take_numbers_and_ranges() {
        let numbers =
            |selection| select(selection).map(|queries| queries.iter().map(|query| query.number).collect::<Vec<_>>());
        assert_eq!(numbers("1,16,94,95").unwrap(), [1, 16, 94, 95]);
        assert_eq!(numbers(" 97-99, 3 ,q98").unwrap(), [97, 98, 99, 3]);
        for wrong in ["", "0", "100", "1,,2", "5-3", "1-100", "one", "-1", "1-4000000000"] {
            let message = numbers(wrong).unwrap_err().to_string();
            assert!(message.contains("queries 1 to 99"), "{wrong}: {message}");
        }
    }
}
