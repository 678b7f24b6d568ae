//! Reports, as figures and as files.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::routes;

use crate::admin::{Report, ReportFormat, ReportQuery};

use super::{Asked, Front, Problem, Routes};

pub(super) fn reading() -> Routes {
    Routes::new().routes(routes!(reports))
}

/// What happened on a day, in a month or in other days: totals, by the hour or day, and divided. `format`, or the header
/// `Accept`, says what it is: figures, text of 80 columns, one CSV table, or a workbook with charts.
#[utoipa::path(
    get, path = "/api/v1/reports", tag = "numbers",
    params(ReportQuery),
    responses((status = 200, content(
        (Report = "application/json"),
        (String = "text/plain"),
        (String = "text/csv"),
        (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ))),
)]
async fn reports(
    State(front): State<Front>,
    headers: HeaderMap,
    Asked(query): Asked<ReportQuery>,
) -> Result<Response, Problem> {
    let header = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let format = query.format.or_else(|| ReportFormat::accepted(header)).unwrap_or_default();
    let report = front.control.report(query).await?;
    let written = report.written(format).map_err(Problem::unavailable)?;
    let (kind, ending) = format.kind();
    let mut response = written.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if matches!(format, ReportFormat::Csv | ReportFormat::Xlsx) {
        let name = format!("attachment; filename=\"tambo-{}.{ending}\"", name_of(&report));
        if let Ok(name) = HeaderValue::from_str(&name) {
            response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
        }
    }
    Ok(response)
}

/// `2026-11-24`, or `2026-11-01-2026-11-30`.
fn name_of(report: &Report) -> String {
    if report.is_of_a_day() {
        return report.from.clone();
    }
    format!("{}-{}", report.from, report.to)
}
