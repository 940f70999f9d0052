// Preloaded into a test's server that has no option for it: it listens on this machine alone.
const net = require('net')
const listen = net.Server.prototype.listen
net.Server.prototype.listen = function (port, ...rest) {
  const done = rest.find(each => typeof each === 'function')
  return typeof port === 'object' ? listen.call(this, port, ...rest) : listen.call(this, Number(port), '127.0.0.1', done)
}
