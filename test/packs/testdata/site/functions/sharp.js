const sharp = require('sharp');

exports.handler = async () => {
  const png = await sharp({ create: { width: 4, height: 2, channels: 3, background: 'red' } }).png().toBuffer();
  return sharp(png).resize(2).raw().toBuffer({ resolveWithObject: true }).then(({ data, info }) => [info, data.toString('hex')]);
};
