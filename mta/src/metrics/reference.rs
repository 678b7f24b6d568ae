//! Writes `docs/reference/metrics.md` from what the declarations say.

use std::fmt::Write as _;
use std::sync::PoisonError;

use super::{DESCRIBED, Described, SERIES_MAX, Topic, Values};

const TOPICS: [(Topic, &str, &str); 8] = [
    (
        Topic::Intake,
        "Does mail come in?",
        "Sessions, what was accepted and refused, and how long a client waited for `250`.",
    ),
    (
        Topic::Queue,
        "What waits, and for how long?",
        "Depths are read when the page is asked for; nothing is scanned.",
    ),
    (
        Topic::Delivery,
        "Does mail go out?",
        "What became of recipients, why not, and how long it took.",
    ),
    (
        Topic::Sources,
        "Are the sources well?",
        "How each stands, everywhere and at sites; pools and what stands by; blocklists; warm-up. Read when the \
         page is asked for.",
    ),
    (
        Topic::Connections,
        "How are names, connections and TLS towards servers?",
        "Where a slow delivery spends its time: DNS, TCP, TLS, or the server's own work.",
    ),
    (Topic::Spool, "Is the disk well?", "A `250` waits for one sync; the sync is the disk's."),
    (
        Topic::Limits,
        "Which limits were reached?",
        "Every limit of the relay is here, at zero until it is reached.",
    ),
    (Topic::Process, "How is the process?", "As the operating system sees it (Linux)."),
];

/// Of values that are this many, the page tells in a table of their own.
const VALUES_IN_LINE_MAX: usize = 8;

/// The reference of all metrics that are declared, as Markdown.
pub fn reference() -> String {
    let series = series_max();
    let described = DESCRIBED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut text = format!(
        "# Metrics\n\n\
         This page is generated: `make docs` writes it from the code that moves the metrics.\n\n\
         `GET /metrics` on `admin.bind` answers in the text format of Prometheus to the networks of \
         `metrics.allow`. Labels take the values below and no others, and of names of the configuration \
         only so many as is written there (the rest is `other`): so the number of series does not grow with \
         mail, peers or time. At most there are {series}; {SERIES_MAX} is what the relay allows itself. \
         Each series is there from the start, at zero, but where it says otherwise. Counters \
         begin at zero when the relay is started. Messages that Tambo writes itself (notices) count \
         like those of clients.\n\n\
         `/healthz` answers 200 unless only a restart helps (the spool failed); `/readyz` answers \
         200 while mail is taken, and otherwise 503 and the reason.\n",
    );
    for (topic, question, about) in TOPICS {
        let mut metrics: Vec<&Described> =
            described.iter().filter(|metric| metric.topic == topic).collect();
        metrics.sort_by_key(|metric| metric.name);
        let _ = write!(text, "\n## {question}\n\n{about}\n\n");
        text.push_str("| metric | type | unit | meaning |\n| --- | --- | --- | --- |\n");
        for metric in &metrics {
            let labels: Vec<&str> = metric.labels.iter().map(|label| label.name).collect();
            let labels =
                if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(
                text,
                "| `{}{labels}` | {} | {} | {}. |",
                metric.name,
                metric.kind,
                unit(metric.name),
                metric.help
            );
        }
        for metric in metrics {
            write_labels(&mut text, metric);
        }
    }
    text
}

fn write_labels(text: &mut String, metric: &Described) {
    for label in &metric.labels {
        let _ = write!(text, "\n`{}` of `{}`", label.name, metric.name);
        match &label.values {
            Values::Given(what) => {
                let _ = writeln!(text, ": {what}.");
            }
            Values::Names(names) => {
                let _ = writeln!(text, ": {}; at most {}.", names.what(), names.max());
            }
            Values::Known(values) if values.len() <= VALUES_IN_LINE_MAX => {
                let values: Vec<String> =
                    values.iter().map(|(value, meaning)| format!("`{value}` {meaning}")).collect();
                let _ = writeln!(text, ": {}.", values.join("; "));
            }
            Values::Known(values) => {
                text.push_str(":\n\n| value | meaning |\n| --- | --- |\n");
                for (value, meaning) in values {
                    let _ = writeln!(text, "| `{value}` | {meaning} |");
                }
            }
        }
    }
}

/// What it is measured in, as its name says.
fn unit(name: &str) -> &'static str {
    let name = name.trim_end_matches("_total");
    match () {
        () if name.ends_with("_seconds") => "seconds",
        () if name.ends_with("_bytes") => "octets",
        () => "count",
    }
}

/// Series that there can be of the metrics declared, whatever is configured and sent.
fn series_max() -> usize {
    let described = DESCRIBED.lock().unwrap_or_else(PoisonError::into_inner);
    described.iter().map(series_of).sum()
}

fn series_of(metric: &Described) -> usize {
    let values = metric.labels.iter().map(|label| match &label.values {
        Values::Known(values) => values.len(),
        Values::Given(_) => 1,
        // And the rest.
        Values::Names(names) => names.max() + 1,
    });
    let labels = values.product::<usize>().min(metric.series_max.unwrap_or(usize::MAX));
    // A distribution has its buckets, that of infinity, sum and count.
    labels * if metric.kind == "histogram" { metric.buckets + 3 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_reference_is_current() {
        crate::app::declare_metrics();
        let path = std::env::var("CARGO_MANIFEST_DIR").unwrap() + "/../docs/reference/metrics.md";
        if std::env::var_os("TAMBO_WRITE_DOCS").is_some() {
            std::fs::write(&path, reference()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == reference(),
            "docs/reference/metrics.md is not current: run `make docs`"
        );
    }

    #[test]
    fn names_and_meanings_keep_to_the_rules() {
        crate::app::declare_metrics();
        let described = DESCRIBED.lock().unwrap();
        assert!(described.len() > 30);
        for metric in described.iter() {
            let name = metric.name;
            assert!(name.starts_with("tambo_") || name.starts_with("process_"), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == "counter", "{name}");
            let meanings = metric.labels.iter().flat_map(|label| match &label.values {
                Values::Known(values) => values.iter().map(|(_, meaning)| *meaning).collect(),
                Values::Given(what) => vec![*what],
                Values::Names(names) => vec![names.what()],
            });
            for text in meanings.chain([metric.help]) {
                assert!(!text.is_empty() && !text.ends_with('.'), "{name}: {text:?}");
                assert!(!text.contains(['|', '\n']), "{name}: {text:?} breaks the table");
            }
        }
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        crate::app::declare_metrics();
        let described = DESCRIBED.lock().unwrap();
        let mut rows: Vec<(usize, &str)> =
            described.iter().map(|it| (series_of(it), it.name)).collect();
        rows.sort_unstable();
        let sum: usize = rows.iter().map(|(count, _)| count).sum();
        assert!(sum <= SERIES_MAX, "{sum} series: {rows:?}");
    }
}
