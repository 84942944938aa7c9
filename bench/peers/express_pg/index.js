// The processes: a cluster, as Node's documentation shows it.
const cluster = require('node:cluster')

if (cluster.isPrimary) {
  for (let i = 0; i < Number(process.env.WEB_CONCURRENCY); i++) {
    cluster.fork()
  }
} else {
  require('./app').listen(process.env.PORT, '127.0.0.1')
}
