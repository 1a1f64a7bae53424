//! What a person is told of the servers that keep a run's state, while it goes on.

use crate::runtime::{Condition, ReplicaStatus};

/// What was told last.
#[derive(Default)]
pub(super) struct Told(Vec<ReplicaStatus>);

impl Told {
    /// What there is to tell now.
    pub(super) fn news(&mut self, now: Vec<ReplicaStatus>) -> Vec<String> {
        let before = std::mem::replace(&mut self.0, now);
        let warning_before = |server: &str| {
            let status = before.iter().find(|status| status.server == server);
            status.and_then(|status| status.warning.as_ref())
        };
        let warnings = self.0.iter().filter_map(|status| {
            let warning = status.warning.as_ref()?;
            let is_new = warning_before(&status.server) != Some(warning);
            is_new.then(|| format!("warning: the Redis server {}: {warning}", status.server))
        });
        let warnings: Vec<_> = warnings.collect();
        let condition_before = |server: &str| {
            let status = before.iter().find(|status| status.server == server);
            status.map_or(Condition::Serving, |status| status.condition)
        };
        let news = self.0.iter().filter_map(|status| {
            let before = condition_before(&status.server);
            if before == status.condition {
                return None;
            }
            let cause = status.problem.as_deref().unwrap_or("it was started again, and lacks something");
            match status.condition {
                Condition::Lost | Condition::Outside if before == Condition::Serving => Some(format!(
                    "warning: the Redis server {} is not used any more: {cause}; the run goes on with those that are left",
                    status.server
                )),
                Condition::Serving => Some(format!("the Redis server {} has everything again", status.server)),
                _ => None,
            }
        });
        warnings.into_iter().chain(news).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(condition: Condition) -> Vec<ReplicaStatus> {
        vec![ReplicaStatus {
            server: "b:1".into(),
            condition,
            problem: None,
            warning: None,
        }]
    }

    #[test]
    fn what_a_server_does_not_say_of_itself_is_told_once() {
        let mut silent = status(Condition::Serving);
        silent[0].warning = Some("it does not say".into());
        let mut told = Told::default();
        assert_eq!(
            told.news(silent.clone()),
            ["warning: the Redis server b:1: it does not say"]
        );
        assert!(told.news(silent).is_empty());
    }

    #[test]
    fn a_lost_server_is_told_once_and_its_return_too() {
        let mut told = Told::default();
        assert!(told.news(status(Condition::Serving)).is_empty());
        assert!(told.news(status(Condition::Lost))[0].contains("b:1 is not used"));
        assert!(told.news(status(Condition::Lost)).is_empty());
        assert!(told.news(status(Condition::Outside)).is_empty());
        assert!(told.news(status(Condition::Returning)).is_empty());
        assert_eq!(
            told.news(status(Condition::Serving)),
            ["the Redis server b:1 has everything again"]
        );
    }
}
