"""Import of the database of one-api or new-api: an SQLite file, or PostgreSQL.

Facts: songquanpeng/one-api (`model/`, `relay/channeltype/`) and QuantumNous/new-api (`model/`,
`constant/channel.go`), 2026-09. Keys of clients are stored in clear there, so clients keep them.
"""
