//! Puts the statements of the shared files that a change's script needs in front of those that need them.
//!
//! Redis runs the whole text at each call. To define the functions of all shared files takes as long as a dozen
//! commands. So a script has only what it needs, and a script that ends early never defines what only its rest needs.

use std::collections::BTreeSet;

/// Begins a statement that defines a function.
const FUNCTION: &str = "local function ";
/// Stands in a change's file for the check of the permissions for the commands behind it.
pub(super) const CHECK: &str = "check_permissions()\n";
/// Stands in a script's function for statements that only a call of that function defines.
const DEFERRED: &str = "  deferred()\n";
/// The functions of the check.
const CHECK_FUNCTIONS: &str = "denial_of denial_of_publish";
/// Commands that no script runs behind its first write.
const ONLY_READS_FIRST: [&str; 2] = ["HMGET", "TIME"];

/// The script of a change: the statements of `own`, behind those of the files of `shared` that define no name. In front
/// of each are the statements of `shared` that define what it needs. A function that one other function needs alone is
/// inside of it, so that a call that does not reach it does not define it. Without comments.
///
/// The line [`DEFERRED`] in a function of `own` stands for `deferred`, behind a check of the commands of both and what
/// `deferred` alone needs.
pub(super) fn linked(shared: &[&str], own: &str, deferred: &str) -> String {
    let shared: Vec<String> = shared.iter().flat_map(|file| statements(&without_comments(file))).collect();
    let preconditions: String = shared.iter().filter(|one| defined_names(one).is_none()).cloned().collect();
    let own = without_comments(own);
    let deferred = deferred_text(&shared, &with_checks(&shared, &preconditions, &own), &own, deferred);
    let shared = nested(&shared, &format!("{preconditions}{own} {CHECK_FUNCTIONS}"), &names(&deferred));
    let script = with_checks(&shared, &preconditions, &own);
    placed(&shared, statements(&script).into_iter().map(|one| one.replace(DEFERRED, &deferred)))
}

/// The text in place of [`DEFERRED`]. `script` is the text around it, whose names it may use.
fn deferred_text(shared: &[String], script: &str, own: &str, deferred: &str) -> String {
    if deferred.is_empty() {
        return String::new();
    }
    let deferred = without_comments(deferred);
    let deferred = check_of(shared, &format!("{own}{deferred}")) + &deferred;
    let outer = needed(shared, script);
    let inner = needed(shared, &deferred).into_iter().filter(|index| !outer.contains(index));
    let inner: Vec<String> = inner.map(|index| shared[index].clone()).collect();
    let inner = nested(&inner, &deferred, &BTreeSet::new());
    indented(&placed(&inner, statements(&deferred).into_iter()))
}

/// The text of the statements, each behind those of `shared` that it needs.
fn placed(shared: &[String], statements: impl Iterator<Item = String>) -> String {
    let (mut text, mut placed) = (String::new(), BTreeSet::new());
    for statement in statements {
        let missing = needed(shared, &statement).into_iter().filter(|index| placed.insert(*index));
        missing.for_each(|index| text += &shared[index]);
        text += &statement;
    }
    text
}

/// The statements of `shared` that `text` needs. Each function that only one other function needs is inside of that
/// one, unless `elsewhere` has its name.
fn nested(shared: &[String], text: &str, elsewhere: &BTreeSet<String>) -> Vec<String> {
    let (used, mut named) = (needed(shared, text), names(text));
    named.extend(elsewhere.iter().cloned());
    let mut inner = vec![String::new(); shared.len()];
    let mut outer = Vec::new();
    // A function needs only what is in front of it, so its inner functions are complete.
    for &index in &used {
        let statement = with_inner(&shared[index], &inner[index]);
        match only_user(shared, &used, index).filter(|_| is_function(&statement, &named)) {
            Some(user) => inner[user] += &statement,
            None => outer.push(statement),
        }
    }
    outer
}

/// Whether a statement is a function that has none of these names.
fn is_function(statement: &str, names: &BTreeSet<String>) -> bool {
    statement.starts_with(FUNCTION)
        && defined_names(statement).is_some_and(|defined| defined.is_disjoint(names))
}

/// The statement that alone needs that at `index`, if it is a function of several lines.
fn only_user(shared: &[String], used: &[usize], index: usize) -> Option<usize> {
    let defined = defined_names(&shared[index])?;
    let mut users =
        used.iter().copied().filter(|user| *user != index && !defined.is_disjoint(&names(&shared[*user])));
    let user = users.next().filter(|_| users.next().is_none())?;
    (shared[user].starts_with(FUNCTION) && shared[user].lines().count() > 1).then_some(user)
}

/// A function with others at the start of its body.
fn with_inner(function: &str, inner: &str) -> String {
    let Some((head, rest)) = function.split_once('\n') else { return function.to_owned() };
    format!("{head}\n{}{rest}", indented(inner))
}

pub(super) fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// Replaces each [`CHECK`] by a check of the commands that may run between it and the next one, those of functions in
/// front of it included. A text without it begins with a check of all its commands.
fn with_checks(shared: &[String], preconditions: &str, own: &str) -> String {
    let own_functions = statements(own).into_iter().filter(|one| one.starts_with(FUNCTION));
    let functions: Vec<String> = shared.iter().cloned().chain(own_functions).collect();
    let mut sections = own.split(CHECK);
    let first = preconditions.to_owned() + sections.next().unwrap_or_default();
    let checked: String = sections.map(|section| check_of(&functions, section) + section).collect();
    if checked.is_empty() { check_of(&functions, &first) + &first } else { first + &checked }
}

/// The statement that ends the script unless the user may run each command of `section` and of the functions that it
/// needs.
fn check_of(functions: &[String], section: &str) -> String {
    let needed: String =
        needed(functions, section).into_iter().map(|index| functions[index].as_str()).collect();
    let mut commands = commands_in(&(needed + section));
    let publish = if commands.remove("SPUBLISH") { " or denial_of_publish()" } else { "" };
    commands.retain(|command| !ONLY_READS_FIRST.contains(&command.as_str()));
    let list: Vec<_> = commands.into_iter().map(|command| format!("'{command}'")).collect();
    let list = list.join(", ");
    format!("do local denial = denial_of({{ {list} }}){publish} if denial then return denial end end\n")
}

/// The commands that a text runs.
pub(super) fn commands_in(text: &str) -> BTreeSet<String> {
    let run = text.split("redis.call('").skip(1).filter_map(|rest| rest.split('\'').next());
    run.map(str::to_owned).collect()
}

/// The positions in `shared` of the statements that define what `text` needs, in order.
fn needed(shared: &[String], text: &str) -> Vec<usize> {
    let mut names = names(text);
    let mut found = Vec::new();
    for (index, statement) in shared.iter().enumerate().rev() {
        if defined_names(statement).is_some_and(|defined| !defined.is_disjoint(&names)) {
            names.extend(self::names(statement));
            found.push(index);
        }
    }
    found.reverse();
    found
}

/// A text without comments and empty lines. No text of the scripts has two hyphens.
fn without_comments(text: &str) -> String {
    let code = text.lines().map(|line| line.split("--").next().unwrap_or_default().trim_end());
    code.filter(|line| !line.is_empty()).fold(String::new(), |text, line| text + line + "\n")
}

/// The statements of a file's top level. Each begins a line, and its other lines are indented or begin with its end.
fn statements(text: &str) -> Vec<String> {
    const ENDS: [&str; 4] = ["end", "else", "}", ")"];
    let mut statements: Vec<String> = Vec::new();
    for line in text.lines() {
        let continues = line.starts_with(' ') || ENDS.iter().any(|end| line.starts_with(end));
        match statements.last_mut().filter(|_| continues) {
            Some(statement) => *statement += &format!("{line}\n"),
            None => statements.push(format!("{line}\n")),
        }
    }
    statements
}

/// The local names that a statement defines; `None` for a statement that does something else.
fn defined_names(statement: &str) -> Option<BTreeSet<String>> {
    let rest = statement.strip_prefix("local ")?;
    let defined = match rest.strip_prefix("function ") {
        Some(function) => function.split('(').next()?,
        None => rest.split('=').next()?,
    };
    Some(defined.split(',').map(|name| name.trim().to_owned()).collect())
}

/// The names in a text, without those of fields and methods.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (mut names, mut rest) = (BTreeSet::new(), text);
    while let Some(start) = rest.find(is_part) {
        let (before, name) = rest.split_at(start);
        let end = name.find(|c| !is_part(c)).unwrap_or(name.len());
        if !before.ends_with([':', '.']) || before.ends_with("..") {
            names.insert(name[..end].to_owned());
        }
        rest = &name[end..];
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: &str = "-- One.\nlocal one = 1\nlocal function two(x)\n  return one + x -- sum\nend\n\
        local three, four =\n  3, 4\nlocal five\nlocal function write() redis.call('SET', 'x', one) end\n";

    fn without_check(own: &str) -> String {
        let text = linked(&[SHARED], own, "");
        text.split_once('\n').unwrap().1.to_owned()
    }

    #[test]
    fn statement_is_behind_what_it_needs() {
        assert_eq!(without_check("return 1\n"), "return 1\n");
        assert_eq!(without_check("return p.two + a:four()\n"), "return p.two + a:four()\n");
        assert_eq!(without_check("return p..one\n"), "local one = 1\nreturn p..one\n");
        let two = "local one = 1\nlocal function two(x)\n  return one + x\nend\n";
        let four = "local three, four =\n  3, 4\n";
        let own = "local a = four\nif a then\n  return two(1)\nend\nreturn two(four)\n";
        let rest = "if a then\n  return two(1)\nend\nreturn two(four)\n";
        assert_eq!(without_check(own), format!("{four}local a = four\n{two}{rest}"));
    }

    #[test]
    fn function_of_one_other_function_is_inside_of_it() {
        let shared = "local function a() return 1 end\nlocal function b()\n  return a()\nend\n\
            local function c()\n  return b()\nend\n";
        let text = linked(&[shared], "return c()\n", "");
        let inside = "local function c()\n  local function b()\n    local function a() return 1 end\n    return a()\n  \
            end\n  return b()\nend\nreturn c()\n";
        assert!(text.ends_with(inside), "{text}");
        let text = linked(&[shared], "return c() + a()\n", "");
        assert!(
            text.contains("\nlocal function a() return 1 end\nlocal function c()\n  local function b()"),
            "{text}"
        );
    }

    #[test]
    fn section_is_checked_for_its_commands_alone() {
        let own = "local a = redis.call('GET', 'x')\nif a then\n  check_permissions()\n  return write()\nend\n\
            check_permissions()\nredis.call('DEL', 'x')\n";
        let text = linked(&[SHARED], own, "");
        let checks: Vec<_> =
            text.split("denial_of({").skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
        assert_eq!(checks, [" 'SET' ", " 'DEL' "]);
        assert!(text.starts_with("local a = redis.call('GET', 'x')"), "{text}");
        assert!(linked(&[SHARED], "write()\n", "").contains("denial_of({ 'SET' })"));
        let own = "local function outer()\n  return write()\nend\ncheck_permissions()\nouter()\n";
        assert!(linked(&[SHARED], own, "").contains("denial_of({ 'SET' })"));
    }

    #[test]
    fn deferred_statement_has_what_it_alone_needs_inside_of_the_function() {
        let shared = "local one = 1\nlocal function two() return one end\n\
            local function three() redis.call('SET', 'x', two()) end\n";
        let own = "local function define()\n  deferred()\n  return four\nend\nreturn one + define()()\n";
        let text = linked(&[shared], own, "local function four() return three() end\n");
        let inside = "local one = 1\nlocal function define()\n  do local denial = denial_of({ 'SET' }) \
            if denial then return denial end end\n  local function two() return one end\n  \
            local function three() redis.call('SET', 'x', two()) end\n  local function four() return three() end\n  \
            return four\nend\nreturn one + define()()\n";
        assert!(text.ends_with(inside), "{text}");
    }
}
