"""Import of the PostgreSQL database of a LiteLLM proxy.

`source.read_tables(url)` reads it; `importer.import_tables(tables, secrets)` adds its content to
the registry. Clients keep their keys: LiteLLM stores the SHA-256 hash of each key, by which the
gateway recognizes it too. Rows are identified by `source_ref`, so that a second import adds only
what is new and changes nothing.

Tables and columns are those of LiteLLM 1.106.2; older databases have fewer of them.
"""
