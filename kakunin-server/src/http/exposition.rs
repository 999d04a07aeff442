//! The text format of Prometheus, written in one place.

use std::fmt::{Display, Write};

/// Families of figures, as `/metrics` shows them.
#[derive(Debug, Default)]
pub(super) struct Exposition(String);

impl Exposition {
    /// What is now.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help, [(String::new(), value)]);
    }

    /// What happened since the start.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help, [(String::new(), value)]);
    }

    /// What is now of each of several, told from one another by labels: `a="b",c="d"`.
    pub(super) fn gauges<V: Display>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (String, V)>,
    ) {
        self.family(name, "gauge", help, values);
    }

    /// What happened since the start, by labels as above.
    pub(super) fn counters<V: Display>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (String, V)>,
    ) {
        self.family(name, "counter", help, values);
    }

    fn family<V: Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        values: impl IntoIterator<Item = (String, V)>,
    ) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP kakunin_{name} {help}\n# TYPE kakunin_{name} {kind}");
        for (labels, value) in values {
            let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
            let _ = writeln!(self.0, "kakunin_{name}{labels} {value}");
        }
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_once_with_a_line_for_each_of_them() {
        let mut all = Exposition::default();
        all.gauge("left", "What is left.", 3);
        all.counter("lost_total", "What was lost.", 0);
        all.gauges(
            "ends_seconds",
            "Until the end.",
            [("role=\"root\"".to_owned(), -1), ("role=\"issuing\"".to_owned(), 5)],
        );
        all.gauges("none", "Of nobody.", Vec::<(String, u64)>::new());
        let text = "# HELP kakunin_left What is left.\n# TYPE kakunin_left gauge\nkakunin_left 3\n\
            # HELP kakunin_lost_total What was lost.\n# TYPE kakunin_lost_total counter\nkakunin_lost_total 0\n\
            # HELP kakunin_ends_seconds Until the end.\n# TYPE kakunin_ends_seconds gauge\n\
            kakunin_ends_seconds{role=\"root\"} -1\nkakunin_ends_seconds{role=\"issuing\"} 5\n\
            # HELP kakunin_none Of nobody.\n# TYPE kakunin_none gauge\n";
        assert_eq!(all.into_text(), text);
    }
}
