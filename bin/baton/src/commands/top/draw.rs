//! The board on a terminal of any size.

use super::board::{Board, Row as BlockRow, condition};
use crate::output::grouped;
use baton_types::{
    api::{ClusterView, MemberSight},
    receipt::Rung,
};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Paragraph, Row, Sparkline, Table, Wrap},
};

const SOFT: Style = Style::new().add_modifier(Modifier::DIM);
const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);

pub fn draw(frame: &mut Frame<'_>, board: &Board) {
    let areas = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(3),
        Constraint::Min(8),
        Constraint::Min(4),
        Constraint::Length(1),
    ]);
    let [head, numbers, middle, blocks, foot] = areas.areas(frame.area());
    frame.render_widget(Paragraph::new(state(board)).wrap(Wrap { trim: true }), head);
    if let Some(cluster) = &board.cluster {
        draw_numbers(frame, numbers, board, cluster);
        let [left, right] =
            Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]).areas(middle);
        frame.render_widget(members(cluster, board.rows.front()), left);
        draw_charts(frame, right, board);
        frame.render_widget(newest(board, cluster), blocks);
    }
    let version = board.cluster.as_ref().map_or("", |cluster| &cluster.status.version);
    frame.render_widget(Line::styled(format!("q quits · {} · version {version}", board.url), SOFT), foot);
}

/// Whether the node is there and does its work.
fn state(board: &Board) -> Line<'_> {
    if let Some(reason) = &board.lost {
        let away = Span::styled("● away ", STRONG.fg(Color::Red));
        return Line::from(vec![away, Span::raw(format!("{reason}; trying again"))]);
    }
    let Some(ClusterView { status, .. }) = &board.cluster else {
        return Line::styled("waiting for the node", SOFT);
    };
    let who = format!("{} · node {} of {}", status.network, status.index, status.members);
    match (&status.reason, status.ready) {
        (_, true) => Line::from(vec![Span::styled("● ready ", STRONG.fg(Color::Green)), Span::raw(who)]),
        (reason, false) => {
            let mark = Span::styled("● not ready ", STRONG.fg(Color::Yellow));
            let reason = reason.as_deref().unwrap_or("no reason given");
            Line::from(vec![mark, Span::raw(format!("{who} · {reason}"))])
        }
    }
}

fn draw_numbers(frame: &mut Frame<'_>, area: Rect, board: &Board, cluster: &ClusterView) {
    let (blocks, transactions) = board.in_ten_seconds();
    let per_second = |count: u64| format!("{}.{} /s", grouped(count / 10), count % 10);
    let finality = board.finality_ms().map_or_else(|| "–".to_owned(), |ms| format!("{} ms", grouped(ms)));
    let numbers = [
        ("height", grouped(cluster.status.finalized_height)),
        ("finality", finality),
        ("blocks", per_second(blocks)),
        ("transactions", per_second(transactions)),
        ("waiting", grouped(cluster.mempool.transactions)),
        ("epoch, view", format!("{}, {}", cluster.status.epoch, grouped(cluster.status.view))),
    ];
    let places = Layout::horizontal([Constraint::Fill(1); 6]).split(area);
    for ((name, value), place) in numbers.into_iter().zip(places.iter()) {
        let lines = vec![Line::styled(name, SOFT), Line::styled(value, STRONG)];
        frame.render_widget(Paragraph::new(lines), *place);
    }
}

fn members(cluster: &ClusterView, newest: Option<&BlockRow>) -> Table<'static> {
    let rows = cluster.members.iter().map(|member| {
        let role = newest.map_or("", |row| role(row, member.index));
        let vote = member.last_vote_view.map_or_else(|| "–".to_owned(), grouped);
        let own = if member.index == cluster.status.index { " *" } else { "" };
        Row::new([format!("{}{own}", member.index), condition(member).to_owned(), vote, role.to_owned()])
            .style(style(member))
    });
    Table::new(
        rows,
        [Constraint::Length(7), Constraint::Length(10), Constraint::Length(10), Constraint::Fill(1)],
    )
    .header(Row::new(["member", "state", "last vote", "this view"]).style(SOFT))
    .block(Block::bordered().title("members (* this node)"))
}

fn style(member: &MemberSight) -> Style {
    match condition(member) {
        "voting" => Style::new(),
        "gone" | "silent" => STRONG.fg(Color::Red),
        _ => Style::new().fg(Color::Yellow),
    }
}

fn role(row: &BlockRow, member: u32) -> &'static str {
    match (row.event.committer == member, row.event.author == member) {
        (true, true) => "commits and builds",
        (true, false) => "commits",
        (false, true) => "drawn, builds",
        (false, false) => "",
    }
}

fn draw_charts(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    let [top, bottom] = Layout::vertical([Constraint::Fill(1); 2]).areas(area);
    let (finality, transactions) = board.charts();
    for (title, values, colour, place) in [
        ("time to finality, ms", finality, Color::Blue, top),
        ("transactions a second", transactions, Color::Green, bottom),
    ] {
        let most = values.iter().copied().max().unwrap_or(0);
        let shown = usize::from(place.width.saturating_sub(2)).min(values.len());
        let title = format!("{title} (up to {})", grouped(most));
        let chart = Sparkline::default()
            .data(&values[values.len() - shown..])
            .style(Style::new().fg(colour))
            .block(Block::bordered().title(title));
        frame.render_widget(chart, place);
    }
}

fn newest(board: &Board, cluster: &ClusterView) -> Table<'static> {
    let now = cluster.time_ms;
    let rows = board.rows.iter().map(|row| {
        let event = &row.event;
        let finality = row.finality_ms().map_or_else(String::new, |ms| format!("{ms} ms"));
        let age = now.saturating_sub(event.timestamp_ms) / 1_000;
        let cells = [
            grouped(event.height),
            event.rung.name().to_owned(),
            format!("{age} s"),
            event.committer.to_string(),
            event.author.to_string(),
            grouped(event.transactions),
            finality,
            event.hash.chars().take(18).collect(),
        ];
        let colour = match event.rung {
            Rung::Finalized => Color::Green,
            Rung::Notarized => Color::Blue,
            _ => Color::Yellow,
        };
        Row::new(cells).style(Style::new().fg(colour))
    });
    let widths = [12, 10, 6, 6, 6, 8, 9, 20].map(Constraint::Length);
    let head = ["height", "rung", "age", "by", "drawn", "txs", "finality", "hash"];
    Table::new(rows, widths)
        .header(Row::new(head).style(SOFT))
        .block(Block::bordered().title("newest blocks"))
}
