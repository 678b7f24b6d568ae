//! Lists that fit into memory: filtered, sorted and cut into pages the same way everywhere.
//!
//! A filter is a field of the rows with the value it must have; `sort` is a field, `-field` for the other way
//! round. A cursor names the last row of a page by what it was sorted by, so that rows which come or go meanwhile
//! move nothing else. (The queue and events are read from disk and have their own.)

use std::cmp::Ordering;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::Problem;

/// Rows of a page when nobody says.
const PAGE: usize = 100;
/// Rows of a page at most.
const PAGE_MAX: usize = 1_000;

/// How a list is asked for.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Rows at most: 100 when not given, 1,000 at most.
    #[param(value_type = Option<usize>, minimum = 1, maximum = 1000)]
    pub limit: Option<String>,
    /// `next` of the page before.
    pub from: Option<String>,
    /// A field of the rows to sort by; `-field` for the other way round.
    pub sort: Option<String>,
    /// Any field of the rows with the value that it must have, as in `state=active`.
    #[serde(flatten)]
    #[param(value_type = Option<Object>, style = Form, explode)]
    pub filters: BTreeMap<String, String>,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where the next page begins (`from`); nothing: this is the last.
    pub next: Option<String>,
}

impl ListQuery {
    /// The page that is asked for. Rows are told apart by the fields `keys`, by which they are sorted at last.
    pub fn page<T: Serialize>(self, rows: Vec<T>, keys: &[&str]) -> Result<Page<T>, Problem> {
        let limit = match self.limit.as_deref() {
            None => PAGE,
            Some(text) => {
                let number = text.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
                number.ok_or_else(|| {
                    Problem::question(format!("limit is a number from 1 to {PAGE_MAX}"))
                })?
            }
        };
        let mut told: Vec<(Value, T)> = rows
            .into_iter()
            .map(|row| (serde_json::to_value(&row).unwrap_or_default(), row))
            .collect();
        let (field, down) = match self.sort.as_deref() {
            None => (None, false),
            Some(sort) => match sort.strip_prefix('-') {
                Some(field) => (Some(field.to_owned()), true),
                None => (Some(sort.to_owned()), false),
            },
        };
        if let Some((row, _)) = told.first() {
            let known = |field: &String| row.get(field).is_some();
            let unknown = self.filters.keys().chain(&field).find(|field| !known(field));
            if let Some(unknown) = unknown {
                let fields = row.as_object().into_iter().flat_map(|row| row.keys());
                let fields: Vec<&str> = fields.map(String::as_str).collect();
                return Err(Problem::question(format!(
                    "the rows have no field \"{unknown}\"; they have {}",
                    fields.join(", ")
                )));
            }
        }
        told.retain(|(row, _)| {
            self.filters.iter().all(|(field, wanted)| is(row.get(field), wanted))
        });
        let place = |row: &Value| -> Vec<Value> {
            let fields = field.as_deref().into_iter().chain(keys.iter().copied());
            fields.map(|field| row.get(field).cloned().unwrap_or_default()).collect()
        };
        let order = |a: &[Value], b: &[Value]| {
            let order = compare_all(a, b);
            if down { order.reverse() } else { order }
        };
        let mut placed: Vec<(Vec<Value>, T)> =
            told.into_iter().map(|(row, value)| (place(&row), value)).collect();
        placed.sort_by(|(a, _), (b, _)| order(a, b));
        if let Some(from) = &self.from {
            let last = parse_cursor(from)?;
            placed.retain(|(place, _)| order(place, &last) == Ordering::Greater);
        }
        let more = placed.len() > limit;
        placed.truncate(limit);
        let next = placed.last().filter(|_| more).map(|(place, _)| cursor(place));
        Ok(Page { rows: placed.into_iter().map(|(_, row)| row).collect(), next })
    }
}

/// Whether a field has this value; of a list, whether one of its values does.
fn is(found: Option<&Value>, wanted: &str) -> bool {
    match found {
        Some(Value::String(text)) => text.eq_ignore_ascii_case(wanted),
        Some(Value::Array(values)) => values.iter().any(|value| is(Some(value), wanted)),
        Some(Value::Null) | None => wanted.is_empty() || wanted == "null",
        Some(Value::Bool(value)) => wanted.parse() == Ok(*value),
        Some(Value::Number(value)) => value.to_string() == *wanted,
        Some(Value::Object(_)) => false,
    }
}

fn compare_all(a: &[Value], b: &[Value]) -> Ordering {
    let pairs = a.iter().zip(b).map(|(a, b)| compare(a, b));
    pairs.fold(Ordering::Equal, Ordering::then)
}

/// Nothing comes before something; numbers as they count, everything else as it is written.
fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        (Value::Number(a), Value::Number(b)) => {
            a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal)
        }
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (a, b) => a.to_string().cmp(&b.to_string()),
    }
}

fn cursor(place: &[Value]) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(place).unwrap_or_default())
}

fn parse_cursor(text: &str) -> Result<Vec<Value>, Problem> {
    let octets = URL_SAFE_NO_PAD.decode(text).ok();
    let place = octets.and_then(|octets| serde_json::from_slice(&octets).ok());
    place.ok_or_else(|| Problem::question("from is not the `next` of a page before"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize)]
    struct Row {
        name: String,
        count: u32,
        pools: Vec<String>,
        why: Option<String>,
    }

    fn rows() -> Vec<Row> {
        let row = |name: &str, count, pool: &str, why: Option<&str>| Row {
            name: name.to_owned(),
            count,
            pools: vec![pool.to_owned(), "all".to_owned()],
            why: why.map(str::to_owned),
        };
        vec![row("c", 2, "bulk", None), row("a", 10, "bulk", Some("x")), row("b", 2, "other", None)]
    }

    fn ask(text: &[(&str, &str)]) -> ListQuery {
        let mut query = ListQuery::default();
        for (key, value) in text {
            let value = (*value).to_owned();
            match *key {
                "limit" => query.limit = Some(value),
                "from" => query.from = Some(value),
                "sort" => query.sort = Some(value),
                field => {
                    query.filters.insert(field.to_owned(), value);
                }
            }
        }
        query
    }

    fn names(text: &[(&str, &str)]) -> Result<String, String> {
        let page = ask(text).page(rows(), &["name"]).map_err(|problem| problem.detail)?;
        Ok(page.rows.iter().map(|row| row.name.as_str()).collect())
    }

    #[test]
    fn rows_are_filtered_and_sorted() {
        let table: [(&[(&str, &str)], &str); 9] = [
            (&[], "abc"),
            (&[("sort", "-name")], "cba"),
            (&[("sort", "count")], "bca"),
            (&[("sort", "-count")], "acb"),
            (&[("sort", "why")], "bca"),
            (&[("pools", "BULK")], "ac"),
            (&[("count", "2"), ("pools", "all")], "bc"),
            (&[("why", "")], "bc"),
            (&[("name", "d")], ""),
        ];
        for (text, expected) in table {
            assert_eq!(names(text).as_deref(), Ok(expected), "{text:?}");
        }
        for (text, wrong) in [
            (
                ("colour", "red"),
                "the rows have no field \"colour\"; they have count, name, pools, why",
            ),
            (("sort", "-size"), "the rows have no field \"size\""),
            (("limit", "0"), "limit is a number from 1 to 1000"),
            (("limit", "1001"), "limit is"),
            (("from", "x"), "from is not the `next`"),
        ] {
            let why = names(&[text]).unwrap_err();
            assert!(why.starts_with(wrong), "{text:?}: {why}");
        }
    }

    #[test]
    fn pages_hold_each_row_once_while_others_come_and_go() {
        let sorts = ["name", "-name", "count", "-count", "why"];
        for (sort, goes) in sorts.iter().flat_map(|sort| [(*sort, false), (*sort, true)]) {
            let (mut all, mut seen, mut from) = (rows(), Vec::new(), None);
            loop {
                let query = ListQuery { from, ..ask(&[("sort", sort), ("limit", "1")]) };
                let page = query.page(all.clone(), &["name"]).unwrap();
                seen.extend(page.rows.iter().map(|row| row.name.clone()));
                from = page.next;
                // The row that the cursor names may go away.
                all.retain(|row| !goes || !seen.contains(&row.name));
                if from.is_none() || seen.len() > 3 {
                    break;
                }
            }
            let expected = ask(&[("sort", sort)]).page(rows(), &["name"]).unwrap().rows;
            let expected: Vec<String> = expected.into_iter().map(|row| row.name).collect();
            assert_eq!(seen, expected, "{sort}");
        }
    }
}
