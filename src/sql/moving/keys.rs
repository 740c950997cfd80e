//! Keys on their way to the database: as JSON, which clients of the application carry as well.

use crate::contract::moving::record::Key;
use crate::sql::query::Query;
use crate::sql::{Dialect, Value};

/// Goes on with: the column is one of these texts. An array is looked up row by row; joined, PostgreSQL might read the
/// whole table.
pub(super) fn is_one_of<'t>(query: &mut Query<'_>, column: &str, texts: impl IntoIterator<Item = &'t str>, cast: &str) {
    let dialect = query.dialect;
    let list: Vec<&str> = texts.into_iter().filter(|text| can_be(dialect, text)).collect();
    let list = query.placeholder(Value::Text(serde_json::to_string(&list).unwrap_or_default().into()));
    query.push(&match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => format!(
            "{column} = any(array(select u.one{cast} from json_array_elements_text({list}::text::json) as u(one)))"
        ),
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => {
            let _ = cast;
            format!("{column} in (select value from json_each({list}))")
        }
    });
}

/// Goes on with a list of names and ids, from which `select` takes what is found in the table, in place of `x`. Its
/// columns are `columns`, the names and ids are in these two columns.
pub(super) fn of_pairs(query: &mut Query<'_>, t: &str, columns: &str, [name, id]: [&str; 2], keys: &[Key]) {
    let dialect = query.dialect;
    let can_be = |key: &&Key| can_be(dialect, &key.name) && can_be(dialect, &key.id);
    let pairs: Vec<[&str; 2]> = keys.iter().filter(can_be).map(|key| [&*key.name, &*key.id]).collect();
    let pairs = query.placeholder(Value::Text(serde_json::to_string(&pairs).unwrap_or_default().into()));
    query.push(&match dialect {
        // With a limit it is looked up one by one, whatever the planner thinks of the list.
        #[cfg(feature = "postgres")]
        Dialect::Postgres => format!(
            "select f.* from (select u.one ->> 0 as name, u.one ->> 1 as id from json_array_elements({pairs}::text::json) \
             as u(one)) as k cross join lateral (select {columns} from {t} as x where x.{name} = k.name and x.{id} = k.id \
             limit 1) as f"
        ),
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => format!(
            "select {columns} from json_each({pairs}) as k cross join {t} as x \
             where x.{name} = json_extract(k.value, '$[0]') and x.{id} = json_extract(k.value, '$[1]')"
        ),
    });
}

/// PostgreSQL's texts have no NUL: nothing is known by one that has, and the server would refuse to look.
fn can_be(dialect: Dialect, text: &str) -> bool {
    match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => !text.contains('\0'),
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => {
            let _ = text;
            true
        }
    }
}
