//! Tables that are sorted, filtered, cut into pages and downloaded the same way everywhere.
//!
//! A page hands in whole tables; what is asked of them stands in the query: `t` which of them, `sort` a column (`-2` the
//! other way round), `find` a text, `at` the first row, `file` `csv` or `xlsx`. What is read from disk in pages of its
//! own (queue, messages, suppression) is cut and sorted there, see [`Cut`] and [`Gathering`].

use std::cmp::Ordering;
use std::collections::BTreeMap;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::admin::Problem;
use crate::admin::sheet::{Cell, Sheet, workbook};

use crate::metrics::limit_hit;

use super::forms::link;
use super::frame::Frame;

/// Rows of a page.
const ROWS: usize = 100;

/// What is asked of a page.
pub(super) type Asked = BTreeMap<String, String>;

/// Rows of a file at most, of what is read from disk page by page: some seconds of reading, and as many as anybody looks
/// through. The command line and the API read on without end.
const FILE_ROWS: usize = 10_000;

/// A cell: what stands in it, where it leads, and a word that colours it.
#[derive(Debug, Clone)]
pub(super) struct Item {
    cell: Cell,
    pub text: String,
    pub href: Option<String>,
    pub state: Option<String>,
    /// A second line, for the page only.
    pub note: Option<String>,
    /// It is what somebody else said.
    pub quoted: bool,
    /// What can be done to the row: path and name.
    pub levers: Vec<(String, &'static str)>,
}

impl Item {
    /// Words.
    pub(super) fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::of(Cell::Text(text.clone()), text)
    }

    /// A number.
    pub(super) fn count(f: &Frame, count: u64) -> Self {
        Self::of(Cell::Count(count), f.number(count))
    }

    /// A part of a whole.
    pub(super) fn share(part: u64, all: u64) -> Self {
        let share = (all > 0).then(|| part as f64 / all as f64);
        let cell = share.map_or(Cell::Nothing, Cell::Share);
        let text = if share.is_some() { cell.shown() } else { "–".to_owned() };
        Self::of(cell, text)
    }

    /// A moment, which sorts as moments do.
    pub(super) fn time(f: &Frame, text: &str) -> Self {
        Self::of(Cell::Text(text.to_owned()), f.time(text))
    }

    /// A moment, if there is one, as how long ago or until then it is.
    pub(super) fn ago(f: &Frame, text: Option<&String>) -> Self {
        match text {
            Some(text) => Self::of(Cell::Text(text.clone()), f.ago(text)),
            None => Self::of(Cell::Nothing, f.t("frame.none").to_owned()),
        }
    }

    /// What a server said last, if it said anything.
    pub(super) fn reply(f: &Frame, reply: Option<&String>) -> Self {
        match reply {
            Some(reply) => Self { quoted: true, ..Self::text(reply) },
            None => Self::of(Cell::Nothing, f.t("frame.none").to_owned()),
        }
    }

    /// What can be done to the row.
    pub(super) fn levers(levers: Vec<(String, &'static str)>) -> Self {
        Self { levers, ..Self::of(Cell::Nothing, String::new()) }
    }

    fn of(cell: Cell, text: String) -> Self {
        Self { cell, text, href: None, state: None, note: None, quoted: false, levers: Vec::new() }
    }

    /// It stands so on the page; files hold it whole.
    pub(super) fn shown_as(self, text: impl Into<String>) -> Self {
        Self { text: text.into(), ..self }
    }

    /// With a second line.
    pub(super) fn with_note(self, note: Option<String>) -> Self {
        Self { note, ..self }
    }

    /// It leads somewhere.
    pub(super) fn to(self, href: String) -> Self {
        Self { href: Some(href), ..self }
    }

    /// It has the colour of a state.
    pub(super) fn with_state(self, state: &str) -> Self {
        Self { state: Some(state.to_owned()), ..self }
    }
}

/// A heading.
#[derive(Debug, Clone)]
pub(super) struct Heading {
    pub name: String,
    pub number: bool,
    pub href: String,
    /// `ascending` or `descending`, when the table is sorted by it.
    pub sorted: Option<&'static str>,
}

/// An empty table of texts of the catalogue; headings with an at sign before their key are of numbers, an empty one is
/// of levers.
pub(super) fn table(
    f: &Frame,
    title: &'static str,
    empty: &'static str,
    headings: &[&'static str],
) -> Table {
    let text = |heading: &&'static str| match heading.strip_prefix('@') {
        Some(key) => format!("@{}", f.t(key)),
        None => f.t(heading).to_owned(),
    };
    let headings: Vec<String> = headings.iter().map(text).collect();
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    Table::new(f.t(title), f.t(empty), &headings)
}

/// How a table was cut and sorted before it got here.
#[derive(Debug, Clone, Default)]
pub(super) struct Cut {
    /// Where the next page begins.
    pub next: Option<String>,
    /// The columns that it can be sorted by.
    pub sorts: Vec<usize>,
    /// It can be asked for by a part of a name (`find`).
    pub finds: bool,
}

/// A table of a page.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub title: String,
    /// What stands there when there are no rows.
    pub empty: String,
    pub headings: Vec<Heading>,
    pub rows: Vec<Vec<Item>>,
    /// Which of the page's.
    pub number: usize,
    pub find: String,
    pub total: usize,
    pub next: Option<String>,
    pub csv: String,
    pub xlsx: String,
    /// What the form that filters must carry along.
    pub kept: Vec<(String, String)>,
    /// Whether it is large enough to be filtered.
    pub filters: bool,
    cut: Option<Cut>,
}

impl Table {
    /// An empty one; headings with an at sign before them are of numbers.
    pub(super) fn new(title: &str, empty: &str, headings: &[&str]) -> Self {
        let heading = |name: &&str| Heading {
            name: name.trim_start_matches('@').to_owned(),
            number: name.starts_with('@'),
            href: String::new(),
            sorted: None,
        };
        Self {
            title: title.to_owned(),
            empty: empty.to_owned(),
            headings: headings.iter().map(heading).collect(),
            rows: Vec::new(),
            number: 0,
            find: String::new(),
            total: 0,
            next: None,
            csv: String::new(),
            xlsx: String::new(),
            kept: Vec::new(),
            filters: false,
            cut: None,
        }
    }

    /// Its rows are what is asked for already.
    pub(super) fn cut(self, cut: Cut) -> Self {
        Self { cut: Some(cut), ..self }
    }

    /// The same with these rows.
    pub(super) fn with(self, rows: Vec<Vec<Item>>) -> Self {
        Self { rows, ..self }
    }

    /// Sorts, filters and cuts it as it is asked for.
    fn arranged(mut self, number: usize, path: &str, asked: &Asked) -> Self {
        self.number = number;
        let mine = asked.get("t").map_or("0", String::as_str) == number.to_string();
        let of = |key: &str| mine.then(|| asked.get(key)).flatten().map_or("", String::as_str);
        let own = ["t", "sort", "find", "at", "file"];
        let kept = asked.iter().filter(|(key, _)| !own.contains(&key.as_str()));
        self.kept = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
        self.kept.push(("t".to_owned(), number.to_string()));
        let carried = self.kept.clone();
        let here = |sort: &str, find: &str, at: &str, file: &str| {
            let kept = carried.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            let pairs = kept.chain([("sort", sort), ("find", find), ("at", at), ("file", file)]);
            link(path, &pairs.collect::<Vec<_>>())
        };
        let (sort, find) = (of("sort").to_owned(), of("find").to_owned());
        let (down, column) = order(&sort);
        if self.cut.is_none() {
            self.filters = self.rows.len() > 10 || !find.is_empty();
            self.filter_and_sort(&find, column, down);
        }
        let cut = self.cut.take();
        for (place, heading) in self.headings.iter_mut().enumerate() {
            if cut.as_ref().is_some_and(|cut| !cut.sorts.contains(&place))
                || heading.name.is_empty()
            {
                continue;
            }
            let by = column == Some(place);
            // Numbers are asked for from the largest down.
            let turn = if by { !down } else { heading.number };
            heading.href = here(&format!("{}{place}", if turn { "-" } else { "" }), &find, "", "");
            heading.sorted = by.then_some(if down { "descending" } else { "ascending" });
        }
        self.csv = here(&sort, &find, "", "csv");
        self.xlsx = here(&sort, &find, "", "xlsx");
        self.total = self.rows.len();
        if let Some(cut) = cut {
            self.filters = cut.finds;
            self.next = cut.next.map(|at| here(&sort, &find, &at, ""));
        } else {
            let at: usize = of("at").parse().unwrap_or(0);
            let end = at.saturating_add(ROWS);
            self.next = (end < self.total).then(|| here(&sort, &find, &end.to_string(), ""));
            if asked.contains_key("file") && mine {
                self.next = None;
            } else {
                self.rows = self.rows.into_iter().skip(at).take(ROWS).collect();
            }
        }
        if !sort.is_empty() {
            self.kept.push(("sort".to_owned(), sort));
        }
        self.find = find;
        self
    }

    fn filter_and_sort(&mut self, find: &str, column: Option<usize>, down: bool) {
        if !find.is_empty() {
            let wanted = find.to_lowercase();
            self.rows.retain(|row| row.iter().any(|it| it.text.to_lowercase().contains(&wanted)));
        }
        if let Some(column) = column {
            self.rows.sort_by(|a, b| {
                let order = compare(a.get(column), b.get(column));
                if down { order.reverse() } else { order }
            });
        }
    }

    fn sheet(&self) -> Sheet {
        // A column without a name holds levers.
        let columns: Vec<usize> =
            (0..self.headings.len()).filter(|at| !self.headings[*at].name.is_empty()).collect();
        let names: Vec<&str> = columns.iter().map(|at| self.headings[*at].name.as_str()).collect();
        let mut sheet = Sheet::new(self.title.clone(), &names);
        let cells = |row: &Vec<Item>| {
            let cell = |at: &usize| row.get(*at).map_or(Cell::Nothing, |it| it.cell.clone());
            columns.iter().map(cell).collect()
        };
        sheet.rows = self.rows.iter().map(cells).collect();
        sheet
    }
}

/// All tables of a page as they are asked for; or one of them as a file.
pub(super) fn arranged(
    tables: Vec<Table>,
    path: &str,
    asked: &Asked,
) -> Result<Result<Vec<Table>, Response>, Problem> {
    let tables = tables.into_iter().enumerate();
    let tables: Vec<Table> = tables.map(|(number, it)| it.arranged(number, path, asked)).collect();
    let Some(file) = asked.get("file") else { return Ok(Ok(tables)) };
    let number = asked.get("t").and_then(|it| it.parse::<usize>().ok()).unwrap_or(0);
    let Some(table) = tables.get(number) else {
        return Err(Problem::not_found(format!("this page has no table {number}")));
    };
    let (octets, kind, ending) = if file == "xlsx" {
        let kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
        (workbook(&[table.sheet()]).map_err(Problem::unavailable)?, kind, "xlsx")
    } else {
        (table.sheet().to_csv(), "text/csv; charset=utf-8", "csv")
    };
    let part = if table.next.is_some() { format!("-first-{FILE_ROWS}") } else { String::new() };
    Ok(Err(as_file(octets, kind, &format!("tambo{}{part}.{ending}", path.replace('/', "-")))))
}

/// The column of a `sort`, and whether from the largest down.
pub(super) fn order(sort: &str) -> (bool, Option<usize>) {
    match sort.strip_prefix('-') {
        Some(column) => (true, column.parse().ok()),
        None => (false, sort.parse().ok()),
    }
}

/// Rows that are read from disk page by page: one for a page, all for a file, up to [`FILE_ROWS`].
pub(super) struct Gathering<T> {
    rows: Vec<T>,
    next: Option<String>,
    begun: bool,
    file: bool,
}

impl<T> Gathering<T> {
    /// Nothing was read yet.
    pub(super) fn new(asked: &Asked) -> Self {
        let next = asked.get("at").filter(|at| !at.is_empty()).cloned();
        Self { rows: Vec::new(), next, begun: false, file: asked.contains_key("file") }
    }

    /// Whether more is to be read.
    pub(super) fn goes_on(&mut self) -> bool {
        if !self.begun {
            self.begun = true;
            return true;
        }
        let more = self.file && self.next.is_some();
        if more && self.rows.len() >= FILE_ROWS {
            limit_hit("web_file_rows");
            self.rows.truncate(FILE_ROWS);
            return false;
        }
        more
    }

    /// Where to read on from; nothing: from the beginning.
    pub(super) fn from(&mut self) -> Option<String> {
        self.next.take()
    }

    /// A page was read.
    pub(super) fn take(&mut self, rows: Vec<T>, next: Option<String>) {
        self.rows.extend(rows);
        self.next = next;
    }

    /// The rows, and where the next page begins.
    pub(super) fn done(self) -> (Vec<T>, Option<String>) {
        (self.rows, self.next)
    }
}

/// Octets that are kept as a file of this name.
pub(super) fn as_file(octets: Vec<u8>, kind: &'static str, name: &str) -> Response {
    let mut response = octets.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    }
    response
}

fn compare(a: Option<&Item>, b: Option<&Item>) -> Ordering {
    let number = |item: &Item| match item.cell {
        Cell::Count(count) => Some(count as f64),
        Cell::Number(number) | Cell::Share(number) => Some(number),
        Cell::Nothing | Cell::Text(_) => None,
    };
    let (Some(a), Some(b)) = (a, b) else { return Ordering::Equal };
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (None, None) => match (&a.cell, &b.cell) {
            (Cell::Text(a), Cell::Text(b)) => a.to_lowercase().cmp(&b.to_lowercase()),
            _ => Ordering::Equal,
        },
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::frame;
    use super::super::texts::Lang;
    use super::*;

    fn table(rows: u64) -> Table {
        let f = frame(Lang::Es);
        let rows = (0..rows)
            .map(|row| vec![Item::text(format!("n{row}")), Item::count(&f, row * 7 % 100)]);
        Table::new("t", "nada", &["a", "@b"]).with(rows.collect())
    }

    fn asked(pairs: &[(&str, &str)]) -> Asked {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_table_is_sorted_filtered_and_cut_as_it_is_asked_for() {
        let done = table(250).arranged(0, "/x", &asked(&[("sort", "-1"), ("days", "7")]));
        assert_eq!((done.rows[0][1].text.as_str(), done.rows.len(), done.total), ("99", 100, 250));
        assert_eq!(done.next.as_deref(), Some("/x?days=7&t=0&sort=-1&at=100"));
        assert_eq!(done.headings[1].href, "/x?days=7&t=0&sort=1");
        assert_eq!((done.headings[0].sorted, done.headings[1].sorted), (None, Some("descending")));
        let last = table(250).arranged(0, "/x", &asked(&[("at", "200")]));
        assert_eq!((last.rows.len(), last.next), (50, None));
        let found = table(250).arranged(0, "/x", &asked(&[("find", "N24")]));
        assert_eq!(found.total, 11);
        let other = table(250).arranged(1, "/x", &asked(&[("find", "N24")]));
        assert_eq!(other.total, 250, "another table is meant");
    }

    #[test]
    fn rows_from_disk_are_read_to_the_end_for_a_file_and_page_by_page_for_eyes() {
        let read = |pairs: &[(&str, &str)], all: usize| {
            let mut gathering = Gathering::new(&asked(pairs));
            let mut reads = 0;
            while gathering.goes_on() {
                let from: usize = gathering.from().map_or(0, |it| it.parse().unwrap());
                let end = (from + 1_000).min(all);
                gathering.take((from..end).collect(), (end < all).then(|| end.to_string()));
                reads += 1;
            }
            let (rows, next) = gathering.done();
            (reads, rows.first().copied(), rows.len(), next)
        };
        assert_eq!(read(&[], 2_500), (1, Some(0), 1_000, Some("1000".to_owned())));
        assert_eq!(read(&[("at", "2000")], 2_500), (1, Some(2_000), 500, None));
        assert_eq!(read(&[("file", "csv")], 2_500), (3, Some(0), 2_500, None));
        let cut = read(&[("file", "csv")], FILE_ROWS * 2);
        assert_eq!((cut.2, cut.3.is_some()), (FILE_ROWS, true));
        let table = table(3).cut(Cut { next: cut.3, ..Cut::default() });
        let file = arranged(vec![table], "/x", &asked(&[("file", "csv")])).unwrap().unwrap_err();
        let name = file.headers()[header::CONTENT_DISPOSITION].to_str().unwrap();
        assert_eq!(name, "attachment; filename=\"tambo-x-first-10000.csv\"", "it says so");
    }

    #[test]
    fn levers_are_for_eyes_only() {
        let f = frame(Lang::Es);
        let row = vec![Item::count(&f, 7), Item::levers(vec![("/x".to_owned(), "Abrir")])];
        let done = Table::new("t", "nada", &["@n", ""]).with(vec![row]);
        let done = done.arranged(0, "/x", &Asked::new());
        assert_eq!(done.headings[1].href, "", "nobody sorts by them");
        assert_eq!(String::from_utf8(done.sheet().to_csv()).unwrap().matches(',').count(), 0);
    }

    #[test]
    fn a_file_holds_all_rows_and_numbers_as_numbers() {
        let wanted = asked(&[("file", "csv"), ("find", "n1")]);
        let file = arranged(vec![table(250)], "/x/y", &wanted).unwrap().unwrap_err();
        let name = file.headers()[header::CONTENT_DISPOSITION].to_str().unwrap();
        assert_eq!(name, "attachment; filename=\"tambo-x-y.csv\"");
        let full = table(250).arranged(0, "/x", &wanted);
        assert_eq!(full.rows.len(), full.total);
        assert!(String::from_utf8(full.sheet().to_csv()).unwrap().contains("n199,93\r\n"));
        assert!(arranged(vec![table(1)], "/x", &asked(&[("file", "csv"), ("t", "5")])).is_err());
    }
}
