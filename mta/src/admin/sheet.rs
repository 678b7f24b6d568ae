//! A table as a file: CSV (RFC 4180) for whatever reads text, XLSX for spreadsheets, lines for a terminal.
//!
//! What strangers wrote may stand in the cells. A spreadsheet takes a cell of a CSV file that begins with `=`, `+`, `-` or
//! `@` for a formula, so such a cell gets an apostrophe before it; in XLSX it is a text by its type.

use rust_xlsxwriter::{Chart, ChartType, Format, Workbook, Worksheet, XlsxError};

/// What stands in a cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing.
    Nothing,
    /// Words.
    Text(String),
    /// A whole number.
    Count(u64),
    /// A number with one decimal.
    Number(f64),
    /// Of a whole, 0 to 1: shown in percent.
    Share(f64),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nothing, Into::into)
    }
}

/// A table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sheet {
    /// What it is about: the name of its tab.
    pub title: String,
    /// Headings.
    pub columns: Vec<String>,
    /// Cells of each row, in the order of the columns.
    pub rows: Vec<Vec<Cell>>,
    /// Columns that are drawn beside it in a workbook, on top of one another, over the first; none: nothing is drawn.
    pub drawn: Vec<u16>,
}

/// A byte order mark: without it spreadsheets read CSV in the encoding of yesterday.
const MARK: &str = "\u{feff}";
/// Letters of the name of a tab.
const TAB_MAX: usize = 31;
/// Letters of a cell of a workbook.
const CELL_MAX: usize = 32_767;
/// Rows of a workbook's sheet, headings left out.
const ROWS_MAX: usize = 1_048_575;

impl Sheet {
    /// An empty one.
    pub fn new(title: impl Into<String>, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|it| (*it).to_owned()).collect();
        Self { title: title.into(), columns, ..Self::default() }
    }

    /// The same with these columns drawn.
    #[must_use]
    pub fn drawing(self, columns: &[u16]) -> Self {
        Self { drawn: columns.to_vec(), ..self }
    }

    /// As CSV: UTF-8, commas, CRLF, numbers as programs write them.
    pub fn to_csv(&self) -> Vec<u8> {
        let terminator = csv::Terminator::CRLF;
        let mut writer = csv::WriterBuilder::new()
            .terminator(terminator)
            .flexible(true)
            .from_writer(MARK.as_bytes().to_vec());
        let headings = self.columns.iter().map(|text| harmless(text));
        let mut lines = vec![headings.collect::<Vec<_>>()];
        lines.extend(self.rows.iter().map(|row| row.iter().map(plain).collect()));
        for line in lines {
            // Writing to memory does not fail.
            let _ = writer.write_record(line);
        }
        writer.into_inner().unwrap_or_default()
    }

    /// As lines of at most `width`: the first column gives way, numbers stand at the right, words at the left.
    pub fn to_text(&self, width: usize) -> String {
        let shown: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(Cell::shown).collect()).collect();
        let widest = |column: usize| {
            let cells = shown.iter().filter_map(|row| row.get(column));
            let heading = self.columns.get(column).map_or(0, |text| text.chars().count());
            cells.map(|cell| cell.chars().count()).chain([heading]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(widest).collect();
        let others: usize = widths.iter().skip(1).map(|it| it + 2).sum();
        let first = widths.first().copied().unwrap_or(0).min(width.saturating_sub(others).max(12));
        let is_words = |column: usize| {
            let mut cells = self.rows.iter().filter_map(|row| row.get(column)).peekable();
            cells.peek().is_some()
                && cells.all(|cell| matches!(cell, Cell::Text(_) | Cell::Nothing))
        };
        let words: Vec<bool> = (0..self.columns.len()).map(is_words).collect();
        let line = |cells: &[String]| {
            let mut text = String::new();
            for (place, cell) in cells.iter().enumerate() {
                if place == 0 {
                    text.push_str(&format!("{:<first$}", clipped(cell, first)));
                } else if words.get(place) == Some(&true) {
                    let width = widths.get(place).copied().unwrap_or(0);
                    text.push_str(&format!("  {cell:<width$}"));
                } else {
                    let width = widths.get(place).copied().unwrap_or(0);
                    text.push_str(&format!("  {cell:>width$}"));
                }
            }
            text.trim_end().to_owned() + "\n"
        };
        let mut text = line(&self.columns);
        text.extend(shown.iter().map(|row| line(row)));
        text
    }
}

impl Cell {
    /// For people.
    pub fn shown(&self) -> String {
        match self {
            Self::Nothing => String::new(),
            // Nothing that a stranger wrote reaches a terminal as an order.
            Self::Text(text) => text.replace(char::is_control, " "),
            Self::Count(count) => grouped(*count),
            Self::Number(number) => format!("{number:.1}"),
            // Rounded down: all but one is not all.
            Self::Share(share) => format!("{:.1} %", (share * 1_000.0).floor() / 10.0),
        }
    }
}

/// Sheets as one workbook (XLSX).
pub fn workbook(sheets: &[Sheet]) -> Result<Vec<u8>, String> {
    let mut book = Workbook::new();
    let mut names = Vec::new();
    for sheet in sheets {
        let name = tab(&sheet.title, &names);
        let page = book.add_worksheet();
        fill(page, sheet, &name).map_err(|error| error.to_string())?;
        names.push(name);
    }
    book.save_to_buffer().map_err(|error| error.to_string())
}

fn fill(page: &mut Worksheet, sheet: &Sheet, name: &str) -> Result<(), XlsxError> {
    page.set_name(name)?;
    let heading = Format::new().set_bold();
    let count = Format::new().set_num_format("#,##0");
    let number = Format::new().set_num_format("#,##0.0");
    let share = Format::new().set_num_format("0.0%");
    for (column, text) in (0..).zip(&sheet.columns) {
        page.write_string_with_format(0, column, text, &heading)?;
    }
    for (line, row) in (1..).zip(sheet.rows.iter().take(ROWS_MAX)) {
        for (column, cell) in (0..).zip(row) {
            match cell {
                Cell::Nothing => continue,
                Cell::Text(text) => page.write_string(line, column, clipped(text, CELL_MAX))?,
                Cell::Count(it) => {
                    page.write_number_with_format(line, column, *it as f64, &count)?
                }
                Cell::Number(it) => page.write_number_with_format(line, column, *it, &number)?,
                Cell::Share(it) => page.write_number_with_format(line, column, *it, &share)?,
            };
        }
    }
    page.set_freeze_panes(1, 0)?;
    page.autofit();
    if !sheet.drawn.is_empty() && !sheet.rows.is_empty() {
        draw(page, sheet, name)?;
    }
    Ok(())
}

fn draw(page: &mut Worksheet, sheet: &Sheet, name: &str) -> Result<(), XlsxError> {
    let last = u32::try_from(sheet.rows.len().min(ROWS_MAX)).unwrap_or(u32::MAX);
    let mut chart = Chart::new(ChartType::ColumnStacked);
    for column in &sheet.drawn {
        chart
            .add_series()
            .set_name((name, 0, *column))
            .set_categories((name, 1, 0, last, 0))
            .set_values((name, 1, *column, last, *column));
    }
    chart.set_width(900).set_height(400);
    let beside = u16::try_from(sheet.columns.len()).unwrap_or(u16::MAX).saturating_add(1);
    page.insert_chart(1, beside, &chart)?;
    Ok(())
}

/// The name of a tab: short, without what is not allowed there, and no second of its kind.
fn tab(title: &str, taken: &[String]) -> String {
    let allowed = |letter: &char| !"[]:*?/\\'".contains(*letter) && !letter.is_control();
    let kept: String = title.chars().filter(allowed).take(TAB_MAX).collect();
    let kept = if kept.trim().is_empty() { "-".to_owned() } else { kept };
    let is_taken = |name: &str| taken.iter().any(|it| it.to_lowercase() == name.to_lowercase());
    if !is_taken(&kept) {
        return kept;
    }
    let numbered = (2..).map(|number| {
        let start: String = kept.chars().take(TAB_MAX - 5).collect();
        format!("{start} {number}")
    });
    numbered.into_iter().find(|name| !is_taken(name)).unwrap_or(kept)
}

/// For programs.
fn plain(cell: &Cell) -> String {
    match cell {
        Cell::Nothing => String::new(),
        Cell::Text(text) => harmless(text),
        Cell::Count(count) => count.to_string(),
        Cell::Number(number) => format!("{number:.1}"),
        Cell::Share(share) => format!("{share:.4}"),
    }
}

/// No formula.
fn harmless(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if formula { format!("'{text}") } else { text.to_owned() }
}

/// `1,234,567`, as it is written in Peru and in English.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn clipped(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    kept + "…"
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn sheet() -> Sheet {
        let mut sheet = Sheet::new("Por proveedor: [1]", &["Nombre", "Entregados", "Parte"]);
        let row = |name: &str, count: u64, share| vec![name.into(), count.into(), share];
        sheet.rows.push(row("=HYPERLINK(\"http://x\")", 1_234_567, Cell::Share(0.98765)));
        sheet.rows.push(row("-1+2, ñ", 0, Cell::Nothing));
        sheet.rows.push(row("two\nlines \"quoted\"", 12, Cell::Number(1.25)));
        sheet.drawing(&[1])
    }

    #[test]
    fn a_cell_is_never_a_formula() {
        let text = String::from_utf8(sheet().to_csv()).unwrap();
        let lines = [
            "\u{feff}Nombre,Entregados,Parte",
            "\"'=HYPERLINK(\"\"http://x\"\")\",1234567,0.9877",
            "\"'-1+2, ñ\",0,",
            "\"two\nlines \"\"quoted\"\"\",12,1.2",
            "",
        ];
        assert_eq!(text, lines.join("\r\n"));
        for start in ["=", "+", "-", "@", "\t", "\r"] {
            assert!(harmless(&format!("{start}1")).starts_with('\''), "{start:?}");
        }
    }

    #[test]
    fn a_table_fits_the_terminal() {
        let mut wide = sheet();
        wide.rows.push(vec!["n".repeat(200).into(), 5.into(), Cell::Share(1.0)]);
        let text = wide.to_text(40);
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
        assert!(text.contains("1,234,567   98.7 %") && text.contains("nnn…"), "{text}");
        assert!(text.contains("two lines"), "{text}");
        assert_eq!(["0", "999", "1,000", "12,345"], [0, 999, 1_000, 12_345].map(grouped)[..]);
    }

    #[test]
    fn tabs_have_names_of_their_own() {
        let mut taken = Vec::new();
        for title in ["a/b", "AB", "", &"x".repeat(50), &"x".repeat(50), "'"] {
            let name = tab(title, &taken);
            assert!((1..=TAB_MAX).contains(&name.chars().count()), "{name}");
            assert!(!taken.contains(&name), "{name}");
            taken.push(name);
        }
        assert_eq!(&taken[..3], ["ab", "AB 2", "-"]);
    }

    /// A workbook, as somebody else reads it.
    #[test]
    fn a_workbook_holds_numbers_as_numbers_and_words_as_words() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.xlsx");
        std::fs::write(&file, workbook(&[sheet(), sheet()]).unwrap()).unwrap();
        let script = "import sys, openpyxl, json\n\
            book = openpyxl.load_workbook(sys.argv[1])\n\
            page = book.worksheets[0]\n\
            rows = [[(cell.value, cell.data_type, cell.number_format) for cell in row] for row in page.iter_rows()]\n\
            print(json.dumps([book.sheetnames, rows, len(page._charts)]))";
        let done =
            Command::new("/usr/bin/python3").args(["-c", script]).arg(&file).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let read: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(read[0], serde_json::json!(["Por proveedor 1", "Por proveedor 1 2"]));
        let rows = &read[1];
        assert_eq!(rows[1][0], serde_json::json!(["=HYPERLINK(\"http://x\")", "s", "General"]));
        assert_eq!(rows[1][1], serde_json::json!([1_234_567, "n", "#,##0"]));
        assert_eq!(rows[1][2], serde_json::json!([0.98765, "n", "0.0%"]));
        assert_eq!((&rows[2][1][0], &rows[2][2][0]), (&0.into(), &serde_json::Value::Null));
        assert_eq!((&rows[3][0][0], &read[2]), (&"two\nlines \"quoted\"".into(), &1.into()));
    }
}
