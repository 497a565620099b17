//! The CPU of each contender in each case, as bars.

use std::fmt::Write;

use super::report::Report;

const WIDTH: usize = 900;
const LEFT: usize = 365;
const BAR: usize = 18;
const GAP: usize = 16;
const COLOURS: [&str; 5] = ["#9aa5b1", "#c2571a", "#2f6f9f", "#5b8c3a", "#7a5195"];

/// An SVG; light and dark backgrounds both do.
pub fn svg(report: &Report) -> String {
    let mut bars = String::new();
    let mut y = 64;
    let mut contenders: Vec<&str> = Vec::new();
    for result in report.results.iter().filter(|result| result.cpu().is_some()) {
        if !contenders.contains(&result.contender.as_str()) {
            contenders.push(&result.contender);
        }
    }
    for case in report.cases() {
        let figures: Vec<(usize, f64)> = contenders
            .iter()
            .enumerate()
            .filter_map(|(at, contender)| Some((at, report.of(&case, contender)?.cpu()?.median)))
            .collect();
        let most = figures.iter().map(|(_, cpu)| *cpu).fold(f64::MIN_POSITIVE, f64::max);
        let connections =
            if case.connections == 1 { "1 connection".to_owned() } else { format!("{} connections", case.connections) };
        let _ = writeln!(bars, "<text x=\"12\" y=\"{}\">{}</text>", y + BAR - 4, escaped(case.about));
        let _ = writeln!(
            bars,
            "<text x=\"12\" y=\"{}\" class=\"small\">{connections}, us for each {}</text>",
            y + 2 * BAR - 4,
            case.unit()
        );
        for (at, cpu) in &figures {
            // Each case has its own scale: a request of 300 KB would hide all others.
            let width = (cpu / most * (WIDTH - LEFT - 70) as f64).max(1.0);
            let colour = COLOURS[at % COLOURS.len()];
            let _ = writeln!(
                bars,
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{}\" rx=\"2\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{}\">{cpu:.1}</text>",
                BAR - 3,
                LEFT as f64 + width + 6.0,
                y + BAR - 5
            );
            y += BAR;
        }
        y += GAP + BAR * 2usize.saturating_sub(figures.len());
    }
    let legend: String = contenders
        .iter()
        .enumerate()
        .map(|(at, contender)| {
            let x = LEFT + at * 120;
            format!(
                "<rect x=\"{x}\" y=\"34\" width=\"12\" height=\"12\" rx=\"2\" fill=\"{}\"/><text x=\"{}\" y=\"45\">{}</text>\n",
                COLOURS[at % COLOURS.len()],
                x + 18,
                escaped(contender)
            )
        })
        .collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" width=\"{WIDTH}\" height=\"{y}\">\n\
         <style>text {{ font: 13px system-ui, sans-serif; fill: #52606d; }} .small {{ font-size: 11px; }} \
         .title {{ font-size: 16px; font-weight: 600; }} \
         @media (prefers-color-scheme: dark) {{ text {{ fill: #cbd2d9; }} }}</style>\n\
         <text x=\"12\" y=\"24\" class=\"title\">CPU time, less is better</text>\n{legend}{bars}</svg>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
