const { PDFDocument, StandardFonts } = require('pdf-lib');

exports.handler = async () => {
  const doc = await PDFDocument.create({ updateMetadata: false });
  const font = await doc.embedFont(StandardFonts.Helvetica);
  doc.addPage([200, 100]).drawText('hello', { font, size: 12 });
  const bytes = await doc.save();
  return [bytes.length, (await PDFDocument.load(bytes, { updateMetadata: false })).getPageCount(), font.widthOfTextAtSize('hello', 12)];
};
